"""The fast path: joined records → columns, in one compiled pass over the bytes.

It takes what Telegraf agents really send (plain line protocol with one or many lines a record, and Telegraf's JSON in
both shapes, for keys it has seen before) and refuses everything else record by record: a new key or field, escapes in
field names, strings with escapes or newlines, subnormal numbers, unusual white space, anything that is wrong. What it
refuses goes to the plain parsers, which decide; what it takes, it takes with exactly their result.
"""

from typing import NamedTuple

import numpy as np

from pipeline.core.compiled import Array, Bytes, Ints, compiled
from pipeline.core.records.identity.interning import FORMAT_INFLUX, FORMAT_JSON, FieldTable, KeyTable, RowTable
from pipeline.core.records.telegraf.fast_influx import influx_line
from pipeline.core.records.telegraf.fast_json import json_metric
from pipeline.core.records.telegraf.fast_values import MAX_FIELDS, word_at

FORMAT_AUTO = 2


_METRICS = int.from_bytes(b'{"metric')


class Columns(NamedTuple):
    """The lines and samples of some records, in the order of the input."""

    line_row: Array  # int32[lines]
    line_time_ms: Array  # int64[lines]
    line_record: Array  # int32[lines]: index of the record in its batch
    line_sample: Array  # int64[lines + 1]: where the line's samples begin
    sample_column: Array  # int32[samples]
    sample_value: Array  # float64[samples]
    counts: Array  # int64[3]: lines, samples, strings left out


class ParseScratch(NamedTuple):
    """Room for one line's fields."""

    name: Array  # int32[MAX_FIELDS]
    seen: Array  # int64[MAX_FIELDS]: serial number of the line that had this column last


def new_columns(samples: int) -> Columns:
    """Return columns with room for ``samples`` samples and as many lines."""
    return Columns(
        line_row=np.empty(samples, np.int32),
        line_time_ms=np.empty(samples, np.int64),
        line_record=np.empty(samples, np.int32),
        line_sample=np.zeros(samples + 1, np.int64),
        sample_column=np.empty(samples, np.int32),
        sample_value=np.empty(samples, np.float64),
        counts=np.zeros(3, np.int64),
    )


def new_scratch() -> ParseScratch:
    """Return a scratch area."""
    return ParseScratch(name=np.empty(MAX_FIELDS, np.int32), seen=np.zeros(MAX_FIELDS, np.int64))


@compiled
def parse_records(
    data: Bytes,
    value_start: Ints,
    value_end: Ints,
    record_time_ms: Ints,
    first: int,
    last: int,
    keys: KeyTable,
    names: KeyTable,
    rows: RowTable,
    fields: FieldTable,
    out: Columns,
    scratch: ParseScratch,
    serial: int,
    text_format: int,
    influx_unit: int,
    json_unit: int,
    latest_ms: int,
    max_bytes: int,
) -> tuple[int, int]:
    """Parse records ``first`` to ``last`` until one is refused or ``out`` is full.

    Parameters
    ----------
    data
        Bytes of all records.
    value_start, value_end, record_time_ms
        Each record's span in ``data`` and its Kafka timestamp, int64[records]; a negative time is none.
    first, last
        Range of records to parse.
    keys, names, rows, fields
        The series table.
    out, scratch
        Where lines and samples are appended, and working space.
    serial
        A number no earlier line was parsed under.
    text_format, influx_unit, json_unit
        Settings: which format is taken, and the units of timestamps.
    latest_ms
        Greatest acceptable event time; what lies further ahead is refused.
    max_bytes
        Longest acceptable record.

    Returns
    -------
    record : int
        The first record that was not parsed: refused, or without room in ``out``; ``last`` if all were.
    serial : int
        The next free serial number.
    """
    line_row, line_time_ms, line_record = out.line_row, out.line_time_ms, out.line_record
    line_sample, sample_column, sample_value = out.line_sample, out.sample_column, out.sample_value
    name_start, name_length, name_salt, name_pool = names.start, names.length, names.salt, names.pool
    field_base, field_count, field_name = rows.field_base, rows.field_count, fields.name
    scratch_name, seen = scratch.name, scratch.seen
    room_samples = sample_value.shape[0]
    room_lines = line_row.shape[0]
    lines, samples, strings = out.counts[0], out.counts[1], out.counts[2]
    record = first
    while record < last:
        p = value_start[record]
        end = value_end[record]
        size = end - p
        if size <= 0 or size > max_bytes:
            break
        # every sample takes at least four bytes (`a=1,`), every line six
        if samples + size // 4 + 1 > room_samples or lines + size // 6 + 1 > room_lines:
            break
        line, at, left_out = lines, samples, strings
        json = data[p] == 123
        if (json and text_format == FORMAT_INFLUX) or (not json and text_format == FORMAT_JSON):
            break
        batch = False
        if json and word_at(data, p, end, _METRICS, 8):
            if p + 12 > end or data[p + 8] != 115 or data[p + 9] != 34 or data[p + 10] != 58 or data[p + 11] != 91:
                break
            batch = True
            p += 12
        good = p < end
        while p < end:
            serial += 1
            if json:
                p, row, time_ms, at, more = json_metric(
                    data,
                    p,
                    end,
                    keys,
                    names,
                    field_base,
                    field_count,
                    field_name,
                    sample_column,
                    sample_value,
                    scratch_name,
                    seen,
                    serial,
                    json_unit,
                    at,
                )
            else:
                p, row, time_ms, at, more = influx_line(
                    data,
                    p,
                    end,
                    keys,
                    names,
                    name_start,
                    name_length,
                    name_salt,
                    name_pool,
                    field_base,
                    field_count,
                    field_name,
                    sample_column,
                    sample_value,
                    seen,
                    serial,
                    influx_unit,
                    record_time_ms[record],
                    at,
                )
            if p < 0 or time_ms > latest_ms or (time_ms < 0 and time_ms == record_time_ms[record]):
                good = False
                break
            line_row[line] = row
            line_time_ms[line] = time_ms
            line_record[line] = record
            line += 1
            line_sample[line] = at
            left_out += more
            if json:
                if batch:
                    if p < end and data[p] == 44:
                        p += 1
                        good = p < end
                        continue
                    if p + 1 < end and data[p] == 93 and data[p + 1] == 125:
                        p += 2
                    else:
                        good = False
                        break
                if p < end and data[p] == 10:
                    p += 1
                good = p == end
                break
        if not good:
            break
        lines, samples, strings = line, at, left_out
        record += 1
    out.counts[0], out.counts[1], out.counts[2] = lines, samples, strings
    return record, serial

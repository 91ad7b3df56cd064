"""Records to columns: the compiled fast path, and the plain parsers for what it refuses, in the order of the input."""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipeline.core.compiled import Bytes, Ints
from pipeline.core.records.identity.interning import FORMAT_INFLUX, FORMAT_JSON, SeriesTable
from pipeline.core.records.identity.resource import identity_refusal
from pipeline.core.records.telegraf.fast_influx import key_end
from pipeline.core.records.telegraf.fast_json import json_fields_end, json_key_end
from pipeline.core.records.telegraf.fast_parse import FORMAT_AUTO, Columns, new_columns, new_scratch, parse_records
from pipeline.core.records.telegraf.fast_values import UNIT_AUTO, UNIT_MS, UNIT_NS, UNIT_S, UNIT_US
from pipeline.core.records.telegraf.parsed import ParsedMetric, Refusal, TimestampUnit
from pipeline.core.records.telegraf.record import DEFAULT_MAX_BYTES, InputFormat, parse_record
from schemas.reasons import DeadLetterReason, FilterReason

_UNITS: Mapping[TimestampUnit, int] = {
    TimestampUnit.NS: UNIT_NS,
    TimestampUnit.US: UNIT_US,
    TimestampUnit.MS: UNIT_MS,
    TimestampUnit.S: UNIT_S,
    TimestampUnit.AUTO: UNIT_AUTO,
}
_FORMATS: Mapping[InputFormat, int] = {
    InputFormat.INFLUX: FORMAT_INFLUX,
    InputFormat.JSON: FORMAT_JSON,
    InputFormat.AUTO: FORMAT_AUTO,
}
_ROOM = 65_536

MAX_FIELDS_BYTES = 1_500_000
"""Most that the fields of one window may take in its record, which fits with tags and key into what ``metrics.agg``
takes, 2 MiB. It is some 4,800 fields with short names."""
_ESCAPED_BYTES = 6
"""What one character of a name takes in JSON at most: ``\\u0001``."""
_FUNCTIONS_BYTES = 300
"""What the functions of one field take at most: nine numbers of up to 24 characters, and their names."""


@dataclass(frozen=True, slots=True)
class ParseOptions:
    """What is accepted as input.

    Attributes
    ----------
    input_format : InputFormat
        Format of the records.
    influx_unit, json_unit : TimestampUnit
        Units of their timestamps.
    max_bytes : int
        Longest acceptable record.
    future_limit_ms : int
        How far ahead of the clock a timestamp may lie.
    """

    input_format: InputFormat = InputFormat.AUTO
    influx_unit: TimestampUnit = TimestampUnit.AUTO
    json_unit: TimestampUnit = TimestampUnit.AUTO
    max_bytes: int = DEFAULT_MAX_BYTES
    future_limit_ms: int = 600_000


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records of one partition in columns: all that aggregation needs of them.

    Attributes
    ----------
    buffer : uint8[bytes]
        Bytes of all records.
    value_start, value_end : int64[records]
        Each record's span in ``buffer``; negative for a record without a value.
    offset : int64[records]
        Rising offsets.
    timestamp_ms : int64[records]
        Kafka timestamps; negative for none.
    """

    buffer: Bytes
    value_start: Ints
    value_end: Ints
    offset: Ints
    timestamp_ms: Ints

    def value(self, record: int) -> bytes:
        """Return a record's bytes, empty for a record without a value."""
        start = int(self.value_start[record])
        return self.buffer[start : int(self.value_end[record])].tobytes() if start >= 0 else b""


@dataclass(frozen=True, slots=True)
class RefusedPart:
    """A record, or lines of it, that cannot be used: what goes to the dead letters.

    Attributes
    ----------
    offset : int
        The record's offset.
    refusal : Refusal
        Why, and where in the record.
    value : bytes
        The refused bytes.
    """

    offset: int
    refusal: Refusal
    value: bytes


class RowRoom(Protocol):
    """What keeps something of each row and column, and is told of new ones."""

    def add_row(self, table: SeriesTable, row: int, rejected: tuple[int, int] | None) -> None:
        """Make room for a new row; ``rejected`` is what a checkpoint knows of its samples that were too late."""
        ...

    def fit_columns(self, table: SeriesTable, row: int) -> None:
        """Make room for all columns of a row, after some were added."""
        ...


class RecordParser:
    """Parses the records of one partition into columns, interning rows and fields on the way.

    Attributes
    ----------
    columns : Columns
        Lines and samples that wait to be folded.
    refused : list of RefusedPart
        What could not be used, until the caller takes it.
    filtered : dict of FilterReason to int
        Fields that are no samples, by reason, since the start.
    rejected_before : mapping of str to (number, offset)
        What a checkpoint knows of rows' samples that were too late, by the row's identity.
    empty_records, records_with_samples : int
        Records since the start that held no metric at all, and that held one at least.
    """

    def __init__(self, table: SeriesTable, store: RowRoom, options: ParseOptions) -> None:
        self._table = table
        self._store = store
        self._options = options
        self._scratch = new_scratch()
        self._serial = 0
        self._strings_counted = 0
        self.columns: Columns = new_columns(_ROOM)
        self.refused: list[RefusedPart] = []
        self.filtered = dict.fromkeys(FilterReason, 0)
        self.rejected_before: Mapping[str, tuple[int, int]] = {}
        self.empty_records = 0
        self.records_with_samples = 0

    def parse(self, batch: RecordBatch, first: int, last: int, now_ms: int) -> int:
        """Parse from ``first`` on until ``last`` or until ``columns`` are full; return the record to go on with."""
        latest_ms = now_ms + self._options.future_limit_ms
        table, options = self._table, self._options
        record = first
        while record < last:
            begun = record
            record, self._serial = parse_records(
                batch.buffer,
                batch.value_start,
                batch.value_end,
                batch.timestamp_ms,
                record,
                last,
                table.keys.table,
                table.names.table,
                table.rows,
                table.fields,
                self.columns,
                self._scratch,
                self._serial,
                _FORMATS[options.input_format],
                _UNITS[options.influx_unit],
                _UNITS[options.json_unit],
                latest_ms,
                options.max_bytes,
            )
            self.records_with_samples += record - begun
            strings = int(self.columns.counts[2])
            self.filtered[FilterReason.STRING] += strings - self._strings_counted
            self._strings_counted = strings
            if record == last or not self._make_room(batch, record):
                return int(record)
            self._parse_plainly(batch, record, latest_ms)
            record += 1
        return record

    def adopt(self, table: SeriesTable, store: RowRoom) -> None:
        """Go on with another table and store; no line may wait to be folded."""
        self._table, self._store = table, store

    def clear(self) -> None:
        """Forget the columns' lines: they have been folded."""
        self.columns.counts[:] = 0
        self._strings_counted = 0

    def _make_room(self, batch: RecordBatch, record: int) -> bool:
        """Return whether a record's samples fit behind what waits; empty columns are made to fit any record."""
        size = int(batch.value_end[record] - batch.value_start[record])
        lines, samples = int(self.columns.counts[0]), int(self.columns.counts[1])
        room = self.columns.sample_value.shape[0]
        wanted = min(size, self._options.max_bytes) // 4 + 1
        if max(lines, samples) + wanted <= room:
            return True
        if lines == 0:
            self.columns = new_columns(2 * wanted + _ROOM)
            return True
        return False

    def _parse_plainly(self, batch: RecordBatch, record: int, latest_ms: int) -> None:
        value = batch.value(record)
        options = self._options
        lines = int(self.columns.counts[0])
        refused = len(self.refused)
        for item in parse_record(
            value,
            input_format=options.input_format,
            influx_unit=options.influx_unit,
            json_unit=options.json_unit,
            max_bytes=options.max_bytes,
        ):
            refusal = self._take(item, batch, record, latest_ms) if isinstance(item, ParsedMetric) else item
            if refusal is not None:
                bytes_refused = value[refusal.start : refusal.end]
                self.refused.append(RefusedPart(int(batch.offset[record]), refusal, bytes_refused))
        if int(self.columns.counts[0]) > lines:
            self.records_with_samples += 1
        elif len(self.refused) == refused:
            self.empty_records += 1

    def _take(self, metric: ParsedMetric, batch: RecordBatch, record: int, latest_ms: int) -> Refusal | None:
        """Append a metric to the columns; return a refusal if its time is missing or too far ahead."""
        time_ms = int(batch.timestamp_ms[record]) if metric.time_ns is None else metric.time_ns // 1_000_000
        refusal = self._time_refusal(metric, time_ms, latest_ms) or identity_refusal(metric)
        if refusal is not None:
            return refusal
        names, values = self._numbers(metric)
        if not _fit_in_a_window(names):
            return _too_many_fields(metric, len(names))
        row, is_new = self._table.intern(metric.measurement, metric.tags)
        if is_new:
            identity = self._table.identities[row] if self.rejected_before else ""
            self._store.add_row(self._table, row, self.rejected_before.get(identity))
        known = self._table.column_count(row)
        if known:
            all_names = {*self._table.column_names(row), *names}
            if len(all_names) > known and not _fit_in_a_window(all_names):
                return _too_many_fields(metric, len(all_names))
        places = self._table.columns(row, names)
        if self._table.column_count(row) != known:
            self._store.fit_columns(self._table, row)
        self._alias(metric, batch, record, row)
        out = self.columns
        line, at = int(out.counts[0]), int(out.counts[1])
        out.line_row[line] = row
        out.line_time_ms[line] = time_ms
        out.line_record[line] = record
        out.sample_column[at : at + len(places)] = places
        out.sample_value[at : at + len(values)] = values
        out.line_sample[line + 1] = at + len(places)
        out.counts[0], out.counts[1] = line + 1, at + len(places)
        return None

    def _time_refusal(self, metric: ParsedMetric, time_ms: int, latest_ms: int) -> Refusal | None:
        if metric.time_ns is None and time_ms < 0:
            message = f"{metric.measurement!r} has no timestamp, nor has its record"
            return _refusal(metric, DeadLetterReason.NO_TIMESTAMP, message)
        if time_ms > latest_ms:
            return _refusal(
                metric,
                DeadLetterReason.TIMESTAMP_FUTURE,
                f"timestamp {time_ms} ms is {time_ms - latest_ms} ms beyond the latest that is taken"
                f" ({self._options.future_limit_ms} ms ahead of the clock)",
            )
        return None

    def _numbers(self, metric: ParsedMetric) -> tuple[list[str], list[float]]:
        """Return the names and values of a metric's finite numbers; count the other fields as filtered."""
        names: list[str] = []
        values: list[float] = []
        for name, value in metric.fields.items():
            if isinstance(value, str):
                self.filtered[FilterReason.STRING] += 1
                continue
            number = _as_double(value)
            if math.isfinite(number):
                names.append(name)
                values.append(number)
            else:
                self.filtered[FilterReason.NOT_FINITE] += 1
        return names, values

    def _alias(self, metric: ParsedMetric, batch: RecordBatch, record: int, row: int) -> None:
        """Let the fast path know the metric's key as it stood in the record, if it is of the form it looks for."""
        origin = int(batch.value_start[record])
        start, end = origin + metric.start, origin + metric.end
        if batch.buffer[start] == ord("{"):
            fields_end = int(json_fields_end(batch.buffer, start, end))
            if fields_end < 0 or fields_end >= end or batch.buffer[fields_end] != ord(","):
                return
            text_format, key_start = FORMAT_JSON, fields_end + 1
            stop = int(json_key_end(batch.buffer, key_start, end))
        else:
            text_format, key_start = FORMAT_INFLUX, start
            stop = int(key_end(batch.buffer, key_start, end))
        if stop > key_start:
            self._table.alias(batch.buffer[key_start:stop].tobytes(), row, text_format)


def _as_double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return math.inf


def _fit_in_a_window(names: Collection[str]) -> bool:
    """Return whether the record of a window with these fields stays below what Kafka takes."""
    functions = _FUNCTIONS_BYTES * len(names)
    if functions + sum(_ESCAPED_BYTES * len(name) + 2 for name in names) <= MAX_FIELDS_BYTES:
        return True  # whatever their characters are
    quoted = sum(len(json.dumps(name, ensure_ascii=False).encode()) for name in names)
    return functions + quoted <= MAX_FIELDS_BYTES


def _too_many_fields(metric: ParsedMetric, count: int) -> Refusal:
    message = f"{count} fields of one measurement and tags make windows of more than {MAX_FIELDS_BYTES} bytes"
    return _refusal(metric, DeadLetterReason.TOO_LARGE, message)


def _refusal(metric: ParsedMetric, reason: DeadLetterReason, message: str) -> Refusal:
    return Refusal(metric.line, 1, reason, message, metric.start, metric.end)


def batch_of(values: list[bytes], first_offset: int, timestamps_ms: list[int] | None = None) -> RecordBatch:
    """Return the batch of ``values`` at consecutive offsets, without Kafka timestamps unless they are given."""
    ends = np.cumsum(np.fromiter(map(len, values), np.int64, len(values)))
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]]) if values else ends
    return RecordBatch(
        buffer=np.frombuffer(bytearray().join(values), np.uint8),
        value_start=starts,
        value_end=ends,
        offset=np.arange(first_offset, first_offset + len(values), dtype=np.int64),
        timestamp_ms=np.full(len(values), -1, np.int64) if timestamps_ms is None else np.array(timestamps_ms, np.int64),
    )

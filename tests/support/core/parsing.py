"""What the record parser makes of records, beside what the plain parsers say, in one form that can be compared."""

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.core.records.identity.interning import SeriesTable, WindowRule
from pipeline.core.records.telegraf.parsed import ParsedMetric
from pipeline.core.records.telegraf.parser import ParseOptions, RecordBatch, RecordParser
from pipeline.core.records.telegraf.record import parse_record
from pipeline.core.windows.store import WindowStore

BASE_MS = 1_700_000_000_000
NOW_MS = BASE_MS + 10**9
RECORD_MS = BASE_MS + 123

Line = tuple[int, int, list[tuple[int, bytes]]]
"""Row, event time, (column, bits of the value) of each sample."""
Parsed = tuple[list[Line], list[tuple[str, int, int]]]
"""Lines with samples; reason and span of what was refused."""


class CountingParser(RecordParser):
    """A record parser that counts what went the plain way."""

    plain = 0

    def _parse_plainly(self, *arguments: Any) -> None:
        self.plain += 1
        super()._parse_plainly(*arguments)


def new_parser(options: ParseOptions | None = None) -> tuple[CountingParser, SeriesTable]:
    table = SeriesTable(lambda *_: WindowRule(10_000, 0, 0), lambda *_: False)
    return CountingParser(table, WindowStore(), options or ParseOptions()), table


def guarded(values: Sequence[bytes], guard: bytes, *, timestamp_ms: int = RECORD_MS) -> RecordBatch:
    """Return a batch whose records stand between guard bytes that are no part of them."""
    buffer = bytearray(guard)
    starts, ends = [], []
    for value in values:
        starts.append(len(buffer))
        buffer += value
        ends.append(len(buffer))
        buffer += guard
    count = len(values)
    return RecordBatch(
        buffer=np.frombuffer(buffer, np.uint8),
        value_start=np.array(starts, np.int64),
        value_end=np.array(ends, np.int64),
        offset=np.arange(count, dtype=np.int64),
        timestamp_ms=np.full(count, timestamp_ms, np.int64),
    )


def parsed(parser: RecordParser, batch: RecordBatch) -> list[Parsed]:
    """Parse a batch; give what became of each record."""
    records: list[Parsed] = [([], []) for _ in batch.offset]
    record, count = 0, len(batch.offset)
    while record < count:
        record = parser.parse(batch, record, count, NOW_MS)
        out = parser.columns
        for line in range(int(out.counts[0])):
            first, last = int(out.line_sample[line]), int(out.line_sample[line + 1])
            samples = list(
                zip(
                    out.sample_column[first:last].tolist(),
                    (_bits(value) for value in out.sample_value[first:last].tolist()),
                    strict=True,
                )
            )
            if samples:
                lines = records[int(out.line_record[line])][0]
                lines.append((int(out.line_row[line]), int(out.line_time_ms[line]), samples))
        parser.clear()
    for part in parser.refused:
        refusal = part.refusal
        records[part.offset][1].append((str(refusal.reason), refusal.start, refusal.end))
    parser.refused.clear()
    return records


def parsed_plainly(table: SeriesTable, value: bytes, options: ParseOptions, timestamp_ms: int = RECORD_MS) -> Parsed:
    """Return the same by the plain parsers alone; ``table`` knows all rows already."""
    lines: list[Line] = []
    refused: list[tuple[str, int, int]] = []
    items = parse_record(
        value,
        input_format=options.input_format,
        influx_unit=options.influx_unit,
        json_unit=options.json_unit,
        max_bytes=options.max_bytes,
    )
    for item in items:
        if not isinstance(item, ParsedMetric):
            refused.append((str(item.reason), item.start, item.end))
            continue
        time_ms = timestamp_ms if item.time_ns is None else item.time_ns // 1_000_000
        if item.time_ns is None and timestamp_ms < 0:
            refused.append(("NO_TIMESTAMP", item.start, item.end))
            continue
        if time_ms > NOW_MS + options.future_limit_ms:
            refused.append(("TIMESTAMP_FUTURE", item.start, item.end))
            continue
        numbers = {name: _double(field) for name, field in item.fields.items() if not isinstance(field, str)}
        numbers = {name: number for name, number in numbers.items() if math.isfinite(number)}
        if numbers:
            row, _ = table.intern(item.measurement, item.tags)
            columns = table.columns(row, list(numbers))
            lines.append((row, time_ms, list(zip(columns, map(_bits, numbers.values()), strict=True))))
    return lines, refused


def _double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _bits(value: float) -> bytes:
    return struct.pack("<d", value)

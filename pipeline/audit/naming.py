"""Offenders by name: a row holds hashes, so its record is read once more."""

from typing import Any

import numpy as np
import orjson

import topics
from pipeline.audit.dead_letters import REASONS
from pipeline.audit.report import Fault, Finding
from pipeline.audit.window_log import finding_of
from pipeline.core.audit.hashes import cell_hash, find_cell
from pipeline.core.compiled import Array
from pipeline.core.records.telegraf.parsed import ParsedMetric
from pipeline.core.records.telegraf.parser import ParseOptions
from pipeline.core.records.telegraf.record import parse_record
from pipeline.core.windows.rules import WindowRules
from pipeline.runtime.kafka.topic_reader import TopicReader


class Namer:
    """Names what rows stand for.

    Parameters
    ----------
    reader
        What reads records.
    rules, options
        As the worker's.
    """

    def __init__(self, reader: TopicReader, rules: WindowRules, options: ParseOptions) -> None:
        self._reader = reader
        self._rules = rules
        self._options = options

    def cell(self, fault: Fault, row: np.void, message: str | None = None) -> Finding:
        """Return the finding of a ``FAULT_ROW`` row."""
        message = message or _message(fault, row)
        record = self.record_of(row)
        if record is not None:
            names = (
                name
                for name in record["fields"]
                if cell_hash(record["measurement"], record["tags"], record["start_ms"], name) == int(row["cell"])
            )
            return finding_of(
                fault, record, message, int(row["partition"]), int(row["offset"]), field=next(names, None)
            )
        raw_partition, raw_offset = int(row["raw_partition"]), int(row["raw_offset"])
        raw = self._reader.record(topics.METRICS_RAW, raw_partition, raw_offset) if raw_offset >= 0 else None
        if raw is None:
            return Finding(fault, message, raw_partition=raw_partition, end_ms=int(row["end_ms"]))
        options = self._options
        items = parse_record(
            raw.value() or b"",
            input_format=options.input_format,
            influx_unit=options.influx_unit,
            json_unit=options.json_unit,
            max_bytes=options.max_bytes,
        )
        metrics = (item for item in items if isinstance(item, ParsedMetric))
        cell = find_cell(metrics, int(row["cell"]), self._rules, raw.timestamp()[1])
        measurement, tags, name, start_ms, end_ms = cell or (None, None, None, None, int(row["end_ms"]))
        return Finding(
            fault,
            message,
            measurement=measurement,
            tags=tags,
            field=name,
            start_ms=start_ms,
            end_ms=end_ms,
            raw_partition=raw_partition,
            raw_first_offset=raw_offset,
        )

    def record_of(self, row: np.void) -> dict[str, Any] | None:
        """Return the record of ``metrics.agg`` that a ``FAULT_ROW`` row is about, None for none."""
        partition, offset = int(row["partition"]), int(row["offset"])
        stored = self._reader.record(topics.METRICS_AGG, partition, offset) if offset >= 0 else None
        record = None if stored is None else orjson.loads(stored.value() or b"null")
        return record if isinstance(record, dict) else None


def absent_finding(fault: Fault, row: np.void) -> Finding:
    """Return the finding of a dead letter or a part that is not there."""
    place = f"metrics.raw/{row['partition']}/{row['offset']}"
    if fault is Fault.DEAD_LETTER_MISSING:
        line = f", line {row['line']}" if row["line"] else ""
        message = f"{place}{line}: {REASONS[row['reason']]}, and no dead letter says so"
    else:
        message = f"{place} has no key, and its part {row['part']} was not produced again with one"
    offset = int(row["offset"])
    return Finding(fault, message, raw_partition=int(row["partition"]), raw_first_offset=offset, raw_last_offset=offset)


def first_of(rows: Array, known: Array | None) -> Array:
    """Return the first of rows and of what was known before, by the window's time, then by place."""
    return np.sort(rows if known is None else np.concatenate([known, rows]), order=time_column(rows))[:1]


def time_column(rows: Array) -> str:
    """Return the column that says when a row's window is."""
    return "end_ms" if "end_ms" in (rows.dtype.names or ()) else "start_ms"


def _message(fault: Fault, row: np.void) -> str:
    if fault is Fault.WINDOW_MISSING:
        return f"{row['least']} samples of a closed window, and no record of it on metrics.agg"
    if fault is Fault.TWO_CONTENTS:
        return "two records of one revision of the window say different things"
    if fault is Fault.VALUE_WRONG:
        return "the values of the latest revision are not what its samples come to"
    least, most = int(row["least"]), int(row["most"])
    should = f"{most}" if least == most else f"{least} to {most}"
    return f"the latest revision counts {row['found']} samples, metrics.raw has {should}"

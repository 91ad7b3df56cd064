"""What a backtest reads: CSV, line protocol or JSON, and records of a topic, evaluated as the stage would."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import orjson

from pipeline.cli.series.files import SeriesFileError, read_series
from pipeline.core.records.identity.raw_samples import RawSamples, Samples, SeriesName
from pipeline.core.records.telegraf.parsed import TimestampUnit
from pipeline.core.records.telegraf.parser import ParseOptions, RecordBatch, RefusedPart, batch_of
from pipeline.core.records.telegraf.text_records import text_records
from pipeline.core.triggers.evaluator import SAMPLES, PolicyEvaluator, TriggerSeries
from pipeline.core.triggers.inputs import WINDOW, RawInput, RecordInput
from pipeline.core.windows.aggregator import PartitionAggregator
from pipeline.core.windows.output import WindowOutput
from pipeline.core.windows.rules import WindowRules
from schemas.catalogue import load_catalogue

if TYPE_CHECKING:
    from datetime import tzinfo

    from schemas.alert import AlertEvent

__all__ = ["Backtest", "CsvColumns", "TopicRecord"]

_CSV: Final = "csv"
"""The measurement of series in CSV files."""
_RECORDS_AT_ONCE: Final = 5000
_NO_CLOCK_MS: Final = 0
_NEVER_AHEAD: Final = 1 << 61
"""Nothing in a file is ahead of the clock: a history may be made up."""


class CsvColumns(NamedTuple):
    """How CSV files are read."""

    time: str
    value: str
    zone: "tzinfo"
    """Of times without an offset."""


class TopicRecord(NamedTuple):
    """A record of ``metrics.raw``."""

    partition: int
    offset: int
    timestamp_ms: int
    """Kafka's; below 0 for none."""
    value: bytes


class _Log(NamedTuple):
    """What reads the records of one partition."""

    raw: RawSamples
    input: RawInput
    aggregator: PartitionAggregator


class Backtest:
    """Histories through a policy evaluator, one after the other, as if they were happening.

    Parameters
    ----------
    evaluator
        Has the policies.
    rules
        Cycles of the windows that policies on windows look at.

    Attributes
    ----------
    names : list of TriggerSeries
        The series of samples that there were.
    samples : int
        How many samples.
    """

    def __init__(self, evaluator: PolicyEvaluator, rules: WindowRules) -> None:
        self._evaluator = evaluator
        self._rules = rules
        self._windows = RecordInput(evaluator, WINDOW)
        self._has_windows = any(source.startswith(WINDOW) for source in evaluator.sources)
        self._events: list[AlertEvent] = []
        self._latest_ms: int | None = None
        self.names: list[TriggerSeries] = []
        self.samples = 0

    def read_csv(self, path: Path, columns: CsvColumns) -> None:
        """Take a CSV file, whose rows are the samples of a series of its own, in its order.

        Raises
        ------
        SeriesFileError
            If it is none.
        """
        rows = read_series(path, columns.time, columns.value, columns.zone)
        names = [SeriesName(_CSV, columns.value, {"file": str(path)})]
        found = np.flatnonzero(np.isfinite(rows.value))
        samples = Samples(np.zeros(len(found), np.int32), rows.time_ms[found], rows.value[found], found)
        self._evaluate(RawInput(self._evaluator), samples, names)
        self._know(names)
        if self._has_windows:
            aggregator = self._aggregator(TimestampUnit.MS)
            records = [_record(names[0], *pair) for pair in zip(samples.time_ms, samples.value, strict=True)]
            self._close(aggregator.add(batch_of(records, 0), 0, len(records), _NO_CLOCK_MS))
            self._close(aggregator.finish())

    def read_records(self, path: Path) -> Iterator[str]:
        """Take a file of line protocol or JSON as the records of a partition; yield what cannot be used of it.

        Raises
        ------
        SeriesFileError
            If it cannot be read.
        """
        log = self._log()
        first = 0
        for chunk in _chunks(path):
            batch = batch_of([value for _, value in chunk], first)
            for part in self._take(log, batch):
                yield _mistake(path, part, chunk[part.offset - first][0])
            first += len(chunk)
        self._end(log)

    def read_topic(self, records: Iterable[TopicRecord]) -> int:
        """Take records of ``metrics.raw``, each partition's in its order; give how many parts cannot be used."""
        logs: dict[int, _Log] = {}
        refused = 0
        source = iter(records)
        while chunk := list(islice(source, _RECORDS_AT_ONCE)):
            for partition in {record.partition for record in chunk}:
                mine = [record for record in chunk if record.partition == partition]
                batch = batch_of([record.value for record in mine], 0, [record.timestamp_ms for record in mine])
                batch = replace(batch, offset=np.array([record.offset for record in mine], np.int64))
                refused += len(self._take(logs.setdefault(partition, self._log()), batch))
        for log in logs.values():
            self._end(log)
        return refused

    def finish(self) -> "list[AlertEvent]":
        """Let series be silent that are so at the newest event time; return all events, by time."""
        if self._latest_ms is not None:
            self._events += self._evaluator.expire(self._latest_ms)
        return sorted(self._events, key=lambda event: event.time_ms)

    def _evaluate(self, raw_input: RawInput, samples: Samples, names: Sequence[SeriesName]) -> None:
        self._events += raw_input.evaluate(samples, names)
        self.samples += len(samples.value)
        if len(samples.time_ms):
            latest_ms = int(samples.time_ms.max())
            self._latest_ms = latest_ms if self._latest_ms is None else max(latest_ms, self._latest_ms)

    def _log(self) -> "_Log":
        raw = RawSamples(ParseOptions(future_limit_ms=_NEVER_AHEAD))
        return _Log(raw, RawInput(self._evaluator), self._aggregator(TimestampUnit.AUTO))

    def _take(self, log: "_Log", batch: RecordBatch) -> list[RefusedPart]:
        """Evaluate records of a partition; give what cannot be used of them."""
        count = len(batch.offset)
        for samples in log.raw.read(batch, 0, count, _NO_CLOCK_MS):
            self._evaluate(log.input, samples, log.raw.names)
        if self._has_windows:
            self._close(log.aggregator.add(batch, 0, count, _NO_CLOCK_MS))
        refused = list(log.raw.refused)
        log.raw.refused.clear()
        return refused

    def _end(self, log: "_Log") -> None:
        self._close(log.aggregator.finish())
        self._know(log.raw.names)

    def _know(self, names: Sequence[SeriesName]) -> None:
        self.names += [TriggerSeries(SAMPLES, *name) for name in names]

    def _aggregator(self, unit: TimestampUnit) -> PartitionAggregator:
        counters = load_catalogue().counters
        options = ParseOptions(influx_unit=unit, json_unit=unit, future_limit_ms=_NEVER_AHEAD)
        return PartitionAggregator(0, self._rules, lambda *source: source in counters, options)

    def _close(self, output: WindowOutput) -> None:
        windows = (
            [(int(orjson.loads(value)["revision"]), value) for value in output.values] if self._has_windows else ()
        )
        self._events += self._windows.evaluate(windows)


def _chunks(path: Path) -> Iterator[list[tuple[int, bytes]]]:
    """Yield a file's records with their lines, some at once."""
    try:
        with path.open("rb") as file:
            records = text_records(file)
            while chunk := list(islice(records, _RECORDS_AT_ONCE)):
                yield chunk
    except OSError as error:
        raise SeriesFileError(f"{path}: cannot read: {error.strerror}") from error


def _record(name: SeriesName, time_ms: int, value: float) -> bytes:
    """Return a sample as Telegraf would send it."""
    fields = {name.field: float(value)}
    return orjson.dumps(
        {"fields": fields, "name": name.measurement, "tags": dict(name.tags), "timestamp": int(time_ms)}
    )


def _mistake(path: Path, part: RefusedPart, line: int) -> str:
    refusal = part.refusal
    return f"{path}: line {line + refusal.line - 1}: {refusal.reason.value}: {refusal.message}"

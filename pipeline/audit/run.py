"""One audit from start to end: checkpoints first, then what they vouch for, then the samples."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Message

import topics
from pipeline.audit.dead_letters import DEAD_LETTER_ROW, DeadLetters
from pipeline.audit.naming import Namer, absent_finding, first_of
from pipeline.audit.raw_log import PART_ROW, PartitionLog, Spills
from pipeline.audit.recompute import Recomputed
from pipeline.audit.report import Fault, PartitionReport, Report
from pipeline.audit.spill import Spill, joined
from pipeline.audit.stored_windows import StoreAudit, store_numbers
from pipeline.audit.window_log import WindowLog
from pipeline.audit.window_rows import WindowRows
from pipeline.core.audit.checks import IN_WINDOWS, OPEN, TOO_LATE, UNKNOWN, WAITING, WINDOW_ROW, check_windows
from pipeline.core.audit.samples import ALWAYS, NEVER, SAMPLE_ROW, PartitionSamples, merged
from pipeline.core.audit.values import compare_values
from pipeline.core.compiled import Array, Ints
from pipeline.core.windows.aggregator import PartitionAggregator
from pipeline.core.windows.checkpoint import AggregateCheckpoint, CheckpointError
from pipeline.runtime.kafka.producer import RecordProducer
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.kafka.topic_reader import TopicReader
from pipeline.runtime.state.checkpoints import CheckpointStore
from pipeline.settings.model import Settings
from pipeline.stages.aggregate.settings import WindowsSettings
from pipeline.stages.aggregate.stage import STAGE, window_rules
from pipeline.stages.raw_input import parse_options
from pipeline.stages.sink.spec import windows_group
from pipeline.stores.settings import regional_stores
from schemas.catalogue import load_catalogue

CLOSE_TIMEOUT_S: Final = 5.0
OnRead = Callable[[str, int, int | None], None]
"""Is told, now and then, how many records of a topic or store were read, and of how many, if that is known."""
_TOLD_EVERY: Final = 5000


class Audit:
    """Reads a period and checks it.

    Parameters
    ----------
    settings
        As the worker's: the same rules for windows and parsing.
    start_ms, end_ms
        The period: windows that start in ``[start_ms, end_ms)``.
    deep
        Whether the windows are computed again and their values compared, and those in the stores.
    timeout_s
        How long Kafka may say nothing.
    on_read
        Is told how much was read.

    Notes
    -----
    The checkpoints are read first. What a checkpoint covers was acknowledged before it was written: so every dead
    letter and every record of ``metrics.agg`` that the samples up to its offset call for is on the topics that are read
    next, and ``metrics.raw``, read last, has every sample that those records can have been made from.
    """

    def __init__(
        self, settings: Settings, *, start_ms: int, end_ms: int, deep: bool, timeout_s: float, on_read: OnRead
    ) -> None:
        self._settings = settings
        self._rules = window_rules(settings)
        self._options = parse_options(settings)
        self._timeout_s = timeout_s
        self._on_read = on_read
        self._now_ms = time.time_ns() // 1_000_000
        self._report = Report(start_ms, end_ms, deep=deep)
        self._deep = deep
        self._is_whole = True  # metrics.agg goes back to the beginning of the period
        self._counters = load_catalogue().counters

    def run(self) -> Report:
        """Return what the audit found.

        Raises
        ------
        TopicReadError, CheckpointReadError
            When Kafka does not answer, or lacks a topic.
        StoreUnavailable
            When a store does not answer.
        """
        with (
            TopicReader(self._settings[KafkaSettings], self._timeout_s) as reader,
            TemporaryDirectory("-audit") as directory,
        ):
            self._run(reader, Path(directory))
        return self._report

    def _run(self, reader: TopicReader, directory: Path) -> None:
        report = self._report
        partitions = reader.partitions(topics.METRICS_RAW)
        checkpoints = self._checkpoints(partitions)
        dead_letters_there = Spill(directory, "dead-letters", DEAD_LETTER_ROW)
        dead_letters = DeadLetters(dead_letters_there, self._options)
        dead_letters.read_all(reader)
        self._on_read(topics.DEAD_LETTERS, dead_letters.read, dead_letters.read)
        windows = Spill(directory, "windows", WINDOW_ROW)
        namer = Namer(reader, self._rules, self._options)
        place = {"start_ms": report.start_ms, "end_ms": report.end_ms}
        stores = StoreAudit(self._settings, windows, directory, namer, report.findings, **place)
        committed = stores.committed(reader.partitions(topics.METRICS_AGG), self._timeout_s) if self._deep else {}
        log = self._read_windows(reader, windows, len(partitions))
        spills = Spills(
            samples=Spill(directory, "samples", SAMPLE_ROW, merged),
            again=Spill(directory, "again", WINDOW_ROW),
            needed_dead_letters=Spill(directory, "needed-dead-letters", DEAD_LETTER_ROW),
            needed_parts=Spill(directory, "needed-parts", PART_ROW),
            parts=Spill(directory, "parts", PART_ROW),
        )
        logs = self._read_raw(reader, partitions, checkpoints, dead_letters, spills, log)
        self._check(spills.samples, windows, [_closed_until(each, checkpoints) for each in logs], namer)
        self._find_absent(spills.needed_dead_letters, dead_letters_there, Fault.DEAD_LETTER_MISSING)
        self._find_absent(spills.needed_parts, spills.parts, Fault.PART_MISSING)
        if self._deep:
            self._check_values(spills.again, windows, namer)
            for number, store in enumerate(regional_stores(self._settings)):
                rejected = dead_letters.rejected.get(windows_group(store).name, [])
                if stores.compare(number, committed[store.name], rejected, self._on_read, is_whole=self._is_whole):
                    report.undecided.append(f"store {store.name} has not been given all windows of the period yet")
        if sum(each.waiting for each in report.partitions):
            report.undecided.append("the worker has not processed all records of the period")
        if report.windows_cut:
            report.undecided.append("metrics.raw does not have all records any more that the windows were made from")
        if not report.windows and not sum(each.samples for each in report.partitions):
            report.undecided.append("there is nothing to check in the period")

    def _checkpoints(self, partitions: list[int]) -> dict[int, AggregateCheckpoint]:
        producer = RecordProducer(self._settings[KafkaSettings])
        try:
            store = CheckpointStore(self._settings[KafkaSettings], producer)
            saved = store.read_latest([f"{STAGE}/{partition}" for partition in partitions], self._timeout_s)
        finally:
            producer.close(CLOSE_TIMEOUT_S)
        found = {}
        for partition in partitions:
            value = saved.get(f"{STAGE}/{partition}")
            if value is None:
                continue
            try:
                found[partition] = AggregateCheckpoint.from_bytes(value)
            except CheckpointError as error:
                self._report.undecided.append(f"partition {partition}: {error}")
        return found

    def _read_windows(self, reader: TopicReader, spill: Spill, partitions: int) -> WindowLog:
        report = self._report
        log = WindowLog(
            WindowRows(spill, deep=self._deep),
            report.findings,
            self._rules,
            store_numbers(self._settings) if self._deep else lambda _value: -1,
            partitions=partitions,
            start_ms=report.start_ms,
            end_ms=report.end_ms,
        )
        # a window is emitted after its start, by a clock that samples are ahead of by a bounded time
        from_ms = report.start_ms - self._options.future_limit_ms
        starts = reader.starts_at(topics.METRICS_AGG, from_ms)
        for partition, start in starts.items():
            earliest = reader.bounds(topics.METRICS_AGG, partition)[0]
            self._is_whole &= earliest == 0 or start == OFFSET_END or start > earliest
        for message in self._read(reader, topics.METRICS_AGG, starts):
            log.take(message)
        log.flush()
        report.agg_records = log.records
        return log

    def _read_raw(
        self,
        reader: TopicReader,
        partitions: list[int],
        checkpoints: dict[int, AggregateCheckpoint],
        dead_letters: DeadLetters,
        spills: Spills,
        windows: WindowLog,
    ) -> list[PartitionLog]:
        report = self._report
        from_ms = report.start_ms - self._options.future_limit_ms - self._warm_up_ms
        starts = reader.starts_at(topics.METRICS_RAW, from_ms)
        for partition, offset in windows.first_offsets.items():
            if starts.get(partition) == OFFSET_END or starts.get(partition, -1) > offset:
                starts[partition] = offset
        logs = {}
        for partition in partitions:
            checkpoint = checkpoints.get(partition)
            processed_until = -1 if checkpoint is None else checkpoint.highest_offset
            samples = PartitionSamples(
                partition,
                self._rules,
                self._options,
                start_ms=report.start_ms,
                end_ms=report.end_ms,
                processed_until=processed_until,
                now_ms=self._now_ms,
            )
            logs[partition] = PartitionLog(
                samples=samples,
                report=PartitionReport(partition, processed_until=None if checkpoint is None else processed_until),
                dead_letters=dead_letters,
                spills=spills,
                options=self._options,
                processed_until=processed_until,
                dead_letter_late=self._settings[WindowsSettings].dead_letter_late,
                recomputed=self._recomputed(partition, spills.again, processed_until) if self._deep else None,
                parts_from_ms=NEVER if set(starts.values()) <= {OFFSET_BEGINNING} else from_ms,
            )
        for message in self._read(reader, topics.METRICS_RAW, starts):
            logs[message.partition() or 0].take(message)
        for log in logs.values():
            log.finish()
        report.partitions = [logs[partition].report for partition in partitions]
        return [logs[partition] for partition in partitions]

    def _read(self, reader: TopicReader, topic: str, starts: Mapping[int, int]) -> Iterator[Message]:
        """Yield the records from these offsets on, and tell how far that is."""
        total = sum(_left(start, *reader.bounds(topic, partition)) for partition, start in starts.items())
        number = 0
        with closing(reader.read(topic, dict(starts))) as messages:
            for number, message in enumerate(messages, 1):
                yield message
                if number % _TOLD_EVERY == 0:
                    self._on_read(topic, number, total)
        self._on_read(topic, number, number)

    def _recomputed(self, partition: int, spill: Spill, processed_until: int) -> Recomputed:
        aggregator = PartitionAggregator(
            partition,
            self._rules,
            lambda measurement, name: (measurement, name) in self._counters,
            self._options,
        )
        return Recomputed(
            aggregator,
            WindowRows(spill, deep=True),
            self._options,
            start_ms=self._report.start_ms,
            end_ms=self._report.end_ms,
            processed_until=processed_until,
            now_ms=self._now_ms,
        )

    @property
    def _warm_up_ms(self) -> int:
        """How long before a sample the records matter that it is checked by."""
        every = [self._rules.default, *(each.rule for each in self._rules.rules)]
        return 2 * self._rules.lateness.forget_ms + max(rule.grace_ms for rule in every)

    @property
    def _read_from(self) -> Ints:
        firsts = (each.first_offset for each in self._report.partitions)
        return np.array([ALWAYS if first is None else first for first in firsts], np.int64)

    def _check_values(self, again: Spill, windows: Spill, namer: Namer) -> None:
        report = self._report
        processed = (each.processed_until for each in report.partitions)
        processed_until = np.array([-1 if until is None else until for until in processed], np.int64)
        first: Array | None = None
        for computed, records in joined(again, windows):
            rows = compare_values(records, computed, self._read_from, processed_until)
            if len(rows):
                report.findings.counts[Fault.VALUE_WRONG] += len(rows)
                first = first_of(rows, first)
        if first is not None and report.findings.first is None:
            report.findings.first = namer.cell(Fault.VALUE_WRONG, first[0])

    def _check(self, samples: Spill, windows: Spill, closed_until: list[tuple[Ints, Ints]], namer: Namer) -> None:
        report = self._report
        read_from = self._read_from
        totals = np.zeros((len(report.partitions), 5), np.int64)
        worst: dict[Fault, Array] = {}
        for some_samples, some_windows in joined(samples, windows):
            checks = check_windows(some_samples, some_windows, closed_until, read_from)
            report.windows += checks.windows
            report.windows_cut += checks.cut
            totals += checks.samples
            for fault, rows in (
                (Fault.WINDOW_MISSING, checks.missing),
                (Fault.COUNT_WRONG, checks.miscounted),
                (Fault.TWO_CONTENTS, checks.contradicting),
            ):
                if len(rows):
                    report.findings.counts[fault] += len(rows)
                    worst[fault] = first_of(rows, worst.get(fault))
        for each in report.partitions:
            row = totals[each.partition]
            each.in_windows, each.too_late = int(row[IN_WINDOWS]), int(row[TOO_LATE])
            each.open, each.unknown = int(row[OPEN]), int(row[UNKNOWN])
            each.waiting += int(row[WAITING])
        if worst and report.findings.first is None:
            fault = min(worst, key=lambda each: int(worst[each]["end_ms"][0]))
            report.findings.first = namer.cell(fault, worst[fault][0])

    def _find_absent(self, needed: Spill, there: Spill, fault: Fault) -> None:
        """Report what is needed and is not there."""
        first: Array | None = None
        for wanted, found in joined(needed, there):
            absent = wanted[~np.isin(wanted["key"], found["key"])]
            if len(absent):
                self._report.findings.counts[fault] += len(np.unique(absent["key"]))
                absent = absent if first is None else np.concatenate([absent, first])
                first = absent[np.lexsort((absent["offset"], absent["partition"]))][:1]
        if first is not None and self._report.findings.first is None:
            self._report.findings.first = absent_finding(fault, first[0])


def _left(start: int, earliest: int, latest: int) -> int:
    """Count the offsets from a start on."""
    begins = {OFFSET_BEGINNING: earliest, OFFSET_END: latest}
    return max(0, latest - begins.get(start, max(start, earliest)))


def _closed_until(log: PartitionLog, checkpoints: dict[int, AggregateCheckpoint]) -> tuple[Ints, Ints]:
    """Return up to when the windows of each resource are closed: by its own time, and by silence."""
    resources = log.samples.resources
    silent_ms = np.full(len(resources), NEVER, np.int64)
    checkpoint = checkpoints.get(log.report.partition)
    if checkpoint is not None:
        for name, idle_ms in zip(checkpoint.resources, checkpoint.idle_ms.tolist(), strict=True):
            number = resources.get(name)
            if number is not None:
                silent_ms[number] = idle_ms
    return log.samples.processed_ms, silent_ms

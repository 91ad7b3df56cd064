"""One audit from start to end: checkpoints first, then what they vouch for, then the samples."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import orjson
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END

import topics
from pipeline.audit.letters import LETTER_ROW, REASONS, Letters
from pipeline.audit.raw_log import PART_ROW, PartitionLog, Spills
from pipeline.audit.report import Fault, Finding, PartitionReport, Report
from pipeline.audit.spill import Spill, joined
from pipeline.audit.window_log import WindowLog, finding_of
from pipeline.core.audit_samples import ALWAYS, NEVER, SAMPLE_ROW, PartitionSamples, cell_hash, find_cell, merged
from pipeline.core.audit_verdict import IN_WINDOWS, OPEN, TOO_LATE, UNKNOWN, WAITING, WINDOW_ROW, judge
from pipeline.core.checkpoint import AggregateCheckpoint, CheckpointError
from pipeline.core.parsed import Metric
from pipeline.core.record import parse_record
from pipeline.core.series import Array, Ints
from pipeline.runtime.checkpoints import CheckpointStore
from pipeline.runtime.producer import RecordProducer
from pipeline.runtime.settings import Settings
from pipeline.runtime.topic_reader import TopicReader
from pipeline.stages.aggregate import STAGE, parse_options, window_rules

CLOSE_TIMEOUT_S: Final = 5.0
OnRead = Callable[[str, int], None]
"""Is told, now and then, how many records of a topic were read."""
_TOLD_EVERY: Final = 5000


class Audit:
    """Reads a period and judges it.

    Parameters
    ----------
    settings
        As the worker's: the same rules for windows and parsing.
    start_ms, end_ms
        The period: windows that start in ``[start_ms, end_ms)``.
    timeout_s
        How long Kafka may say nothing.
    on_read
        Is told how much was read.

    Notes
    -----
    The checkpoints are read first. What a checkpoint covers was acknowledged before it was written: so every letter and
    every record of ``metrics.agg`` that the samples up to its offset call for is on the topics that are read next, and
    ``metrics.raw``, read last, has every sample that those records can have been made from.
    """

    def __init__(self, settings: Settings, *, start_ms: int, end_ms: int, timeout_s: float, on_read: OnRead) -> None:
        self._settings = settings
        self._rules = window_rules(settings)
        self._options = parse_options(settings)
        self._timeout_s = timeout_s
        self._on_read = on_read
        self._now_ms = time.time_ns() // 1_000_000
        self._report = Report(start_ms, end_ms, deep=False)

    def run(self) -> Report:
        """Return what the audit found.

        Raises
        ------
        TopicReadError, CheckpointReadError
            When Kafka does not answer, or lacks a topic.
        """
        with TopicReader(self._settings.kafka, self._timeout_s) as reader, TemporaryDirectory("-audit") as directory:
            self._run(reader, Path(directory))
        return self._report

    def _run(self, reader: TopicReader, directory: Path) -> None:
        report = self._report
        partitions = reader.partitions(topics.METRICS_RAW)
        checkpoints = self._checkpoints(partitions)
        letters_there = Spill(directory, "letters", LETTER_ROW)
        letters = Letters(letters_there, self._options)
        letters.read_all(reader)
        self._on_read(topics.DEAD_LETTERS, letters.read)
        windows = Spill(directory, "windows", WINDOW_ROW)
        log = self._read_windows(reader, windows, len(partitions))
        spills = Spills(
            samples=Spill(directory, "samples", SAMPLE_ROW, merged),
            needed_letters=Spill(directory, "needed-letters", LETTER_ROW),
            needed_parts=Spill(directory, "needed-parts", PART_ROW),
            parts=Spill(directory, "parts", PART_ROW),
        )
        logs = self._read_raw(reader, partitions, checkpoints, letters, spills, log)
        self._judge(reader, spills.samples, windows, [_closed_until(each, checkpoints) for each in logs])
        self._find_absent(spills.needed_letters, letters_there, Fault.LETTER_MISSING)
        self._find_absent(spills.needed_parts, spills.parts, Fault.PART_MISSING)
        if sum(each.waiting for each in report.partitions):
            report.undecided.append("the worker has not processed all records of the period")
        if report.windows_cut:
            report.undecided.append("metrics.raw does not have all records any more that the windows were made from")
        if not report.windows and not sum(each.samples for each in report.partitions):
            report.undecided.append("there is nothing to judge in the period")

    def _checkpoints(self, partitions: list[int]) -> dict[int, AggregateCheckpoint]:
        producer = RecordProducer(self._settings.kafka)
        try:
            store = CheckpointStore(self._settings.kafka, producer)
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
            spill,
            report.findings,
            self._rules,
            partitions=partitions,
            start_ms=report.start_ms,
            end_ms=report.end_ms,
        )
        # a window is emitted after its start, by a clock that samples are ahead of by a bounded time
        from_ms = report.start_ms - self._options.future_limit_ms
        starts = reader.starts_at(topics.METRICS_AGG, from_ms)
        with closing(reader.read(topics.METRICS_AGG, starts)) as messages:
            for number, message in enumerate(messages, 1):
                log.take(message)
                if number % _TOLD_EVERY == 0:
                    self._on_read(topics.METRICS_AGG, number)
        log.flush()
        report.agg_records = log.records
        return log

    def _read_raw(
        self,
        reader: TopicReader,
        partitions: list[int],
        checkpoints: dict[int, AggregateCheckpoint],
        letters: Letters,
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
                letters=letters,
                spills=spills,
                options=self._options,
                processed_until=processed_until,
                dead_letter_late=self._settings.windows.dead_letter_late,
                parts_from_ms=NEVER if set(starts.values()) <= {OFFSET_BEGINNING} else from_ms,
            )
        with closing(reader.read(topics.METRICS_RAW, starts)) as messages:
            for number, message in enumerate(messages, 1):
                logs[message.partition() or 0].take(message)
                if number % _TOLD_EVERY == 0:
                    self._on_read(topics.METRICS_RAW, number)
        for log in logs.values():
            log.finish()
        report.partitions = [logs[partition].report for partition in partitions]
        return [logs[partition] for partition in partitions]

    @property
    def _warm_up_ms(self) -> int:
        """How long before a sample the records matter that it is judged by."""
        every = [self._rules.default, *(each.rule for each in self._rules.rules)]
        return 2 * self._rules.lateness.forget_ms + max(rule.grace_ms for rule in every)

    def _judge(
        self, reader: TopicReader, samples: Spill, windows: Spill, closed_until: list[tuple[Ints, Ints]]
    ) -> None:
        report = self._report
        read_from = np.array(
            [ALWAYS if each.first_offset is None else each.first_offset for each in report.partitions], np.int64
        )
        totals = np.zeros((len(report.partitions), 5), np.int64)
        worst: dict[Fault, Array] = {}
        for some_samples, some_windows in joined(samples, windows):
            verdict = judge(some_samples, some_windows, closed_until, read_from)
            report.windows += verdict.windows
            report.windows_cut += verdict.cut
            totals += verdict.samples
            for fault, rows in (
                (Fault.WINDOW_MISSING, verdict.missing),
                (Fault.COUNT_WRONG, verdict.miscounted),
                (Fault.TWO_CONTENTS, verdict.contradicting),
            ):
                if len(rows):
                    report.findings.counts[fault] += len(rows)
                    known = worst.get(fault, rows[:0])
                    worst[fault] = np.sort(np.concatenate([known, rows]))[:1]  # by the window's end, then by place
        for each in report.partitions:
            row = totals[each.partition]
            each.in_windows, each.too_late = int(row[IN_WINDOWS]), int(row[TOO_LATE])
            each.open, each.unknown = int(row[OPEN]), int(row[UNKNOWN])
            each.waiting += int(row[WAITING])
        if worst and report.findings.first is None:
            fault = min(worst, key=lambda each: int(worst[each]["end_ms"][0]))
            report.findings.first = self._named(reader, fault, worst[fault][0])

    def _named(self, reader: TopicReader, fault: Fault, row: "np.void") -> Finding:
        """Give the finding of a cell: its series is named by the record, read once more."""
        raw_partition, raw_offset = int(row["raw_partition"]), int(row["raw_offset"])
        if int(row["offset"]) >= 0:
            finding = self._named_by_window(reader, fault, row)
            if finding is not None:
                return finding
        message = _message(fault, row)
        raw = reader.record(topics.METRICS_RAW, raw_partition, raw_offset) if raw_offset >= 0 else None
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
        metrics = (item for item in items if isinstance(item, Metric))
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

    def _named_by_window(self, reader: TopicReader, fault: Fault, row: "np.void") -> Finding | None:
        partition, offset = int(row["partition"]), int(row["offset"])
        stored = reader.record(topics.METRICS_AGG, partition, offset)
        if stored is None:
            return None
        record = orjson.loads(stored.value() or b"{}")
        finding = finding_of(fault, record, _message(fault, row), partition, offset)
        names = (
            name
            for name in record["fields"]
            if cell_hash(record["measurement"], record["tags"], record["start_ms"], name) == int(row["cell"])
        )
        return Finding(
            **{name: getattr(finding, name) for name in Finding.__dataclass_fields__ if name != "field"},
            field=next(names, None),
        )

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
            row = first[0]
            place = f"metrics.raw/{row['partition']}/{row['offset']}"
            if fault is Fault.LETTER_MISSING:
                line = f", line {row['line']}" if row["line"] else ""
                message = f"{place}{line}: {REASONS[row['reason']]}, and no dead letter says so"
            else:
                message = f"{place} has no key, and its part {row['part']} was not produced again with one"
            offset = int(row["offset"])
            self._report.findings.first = Finding(
                fault, message, raw_partition=int(row["partition"]), raw_first_offset=offset, raw_last_offset=offset
            )


def _closed_until(log: PartitionLog, checkpoints: dict[int, AggregateCheckpoint]) -> tuple[Ints, Ints]:
    """Give up to when the windows of each resource are closed: by its own time, and by silence."""
    resources = log.samples.resources
    silent_ms = np.full(len(resources), NEVER, np.int64)
    checkpoint = checkpoints.get(log.report.partition)
    if checkpoint is not None:
        for name, idle_ms in zip(checkpoint.resources, checkpoint.idle_ms.tolist(), strict=True):
            number = resources.get(name)
            if number is not None:
                silent_ms[number] = idle_ms
    return log.samples.processed_ms, silent_ms


def _message(fault: Fault, row: "np.void") -> str:
    if fault is Fault.WINDOW_MISSING:
        return f"{row['least']} samples of a closed window, and no record of it on metrics.agg"
    if fault is Fault.TWO_CONTENTS:
        return "two records of one revision of the window say different things"
    least, most = int(row["least"]), int(row["most"])
    should = f"{most}" if least == most else f"{least} to {most}"
    return f"the latest revision counts {row['found']} samples, metrics.raw has {should}"

"""One partition of ``metrics.agg`` judged: windows in, records of ``anomalies`` out."""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any, Final

import numpy as np
import orjson

from pipeline.core.anomaly import Level, Reason, Verdicts
from pipeline.core.anomaly_bank import WARN_SCORE
from pipeline.core.detection_records import host_record, series_record
from pipeline.core.detection_rules import DetectionRules
from pipeline.core.detection_series import NO_ROW, Group, Host, Series, SeriesTable, identity_of, parse_head
from pipeline.core.host_anomaly import HostLimits, Told
from schemas.reasons import DeadLetterReason, Unjudged

_START: Final = b',"start_ms":'
_GREATEST_TIME_MS: Final = 2**53
_SWEEPS: Final = 8
"""How often a series that is silent for the time of its expiry is looked at meanwhile."""


@dataclass(frozen=True, slots=True)
class DetectionSettings:
    """What judging depends on beside rules.

    Attributes
    ----------
    sample_interval_ms : int
        Event time between two samples of a series' score; 0: there are none.
    expire_after_ms : int
        Event time of the partition after which a silent series is forgotten.
    most_named : int
        Series of a partition that may have a detector of river's.
    host : HostLimits
        When anomalous series are an incident of their resource.
    """

    sample_interval_ms: int = 3_600_000
    expire_after_ms: int = 7 * 86_400_000
    most_named: int = 200
    host: HostLimits = field(default_factory=HostLimits)


@dataclass(slots=True)
class DetectionBalance:
    """What became of records and values: ``records = judged_windows + unjudged_windows``, by reason."""

    records: int = 0
    judged_windows: int = 0
    unjudged_windows: Counter[Unjudged] = field(default_factory=Counter)
    judged_samples: int = 0
    unjudged_samples: Counter[Unjudged] = field(default_factory=Counter)
    anomalies: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Records by kind and level, ``none`` for those without."""


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """A record that is no window."""

    offset: int
    reason: DeadLetterReason
    message: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Detected:
    """What comes out of some records."""

    keys: list[bytes]
    values: list[bytes]
    refused: list[RefusedRecord]


@dataclass(slots=True)
class Run:
    """Windows of one resource and time that followed each other: what its anomalies are counted over.

    Attributes
    ----------
    first : int
        Its first sample in the batch.
    told : dict
        What was told of its series.
    """

    host: Host
    start_ms: int
    end_ms: int
    offset: int
    first: int = 0
    told: dict[Series, Told] = field(default_factory=dict)


@dataclass(slots=True)
class _Batch:
    """Values that wait to be judged together, in columns."""

    series: list[Series] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    start_ms: list[int] = field(default_factory=list)
    end_ms: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    named: list[int] = field(default_factory=list)
    """Those that a detector of river's scores."""
    sampled: set[int] = field(default_factory=set)
    """Those whose score is written in any case."""


class PartitionDetector:
    """Judges the windows of one partition, each by what its series was before it.

    What comes out follows from the records and their order alone, however they are cut into batches: a window that is
    not later than the newest of its group is left out, so that no verdict ever changes, and series are forgotten by the
    partition's event time.

    Parameters
    ----------
    partition : int
        Its number.
    rules : DetectionRules
        Which series are judged; `follow` changes them.
    settings : DetectionSettings
        All else.
    zone_of : callable
        Gives a time zone by its name.
    """

    def __init__(
        self, partition: int, rules: DetectionRules, settings: DetectionSettings, zone_of: Callable[[str], tzinfo]
    ) -> None:
        self.partition = partition
        self.settings = settings
        self.balance = DetectionBalance()
        self.table = SeriesTable(rules, zone_of, settings.most_named)
        self.time_ms = 0
        """The partition's event time: the greatest end of a window."""
        self.runs: list[Run] = []
        """Those that began; the last one is still open between two calls."""
        self._batch = _Batch()
        self._out = Detected([], [], [])
        self._sweep_ms = max(settings.expire_after_ms // _SWEEPS, 1)

    def add(self, records: Iterable[tuple[int, bytes | None]]) -> Detected:
        """Judge the next records, in their order.

        Parameters
        ----------
        records : iterable of (int, bytes or None)
            Offset and value of each.
        """
        for offset, value in records:
            self.balance.records += 1
            reason = self._take(offset, value)
            if reason is None:
                self.balance.judged_windows += 1
            else:
                self.balance.unjudged_windows[reason] += 1
        self._judge()
        out, self._out = self._out, Detected([], [], [])
        return out

    def follow(self, rules: DetectionRules) -> None:
        """Put other rules in force: series that they judge otherwise begin anew, all others go on."""
        self.table.follow(rules)
        for run in self.runs:
            run.told = {series: told for series, told in run.told.items() if series.is_judged}

    def _take(self, offset: int, value: bytes | None) -> Unjudged | None:
        """Put a window's values into the batch; give why there are none."""
        if value is None:
            return Unjudged.UNREADABLE
        document: Any = None
        head = value[: value.find(_START)]
        group = self.table.groups.get(head)
        if group is None or group.may_watch:
            try:
                document = orjson.loads(value)
            except orjson.JSONDecodeError as error:
                return self._refuse(offset, value, f"not valid JSON: {error}")
            group = group or self._group_of(head, document)
            if group is None:
                return self._refuse(offset, value, "not a window: measurement and tags are missing")
        if not group.may_watch:
            return Unjudged.NOT_WATCHED
        times = _times_of(document)
        fields = document.get("fields")
        if times is None or not isinstance(fields, dict):
            return self._refuse(offset, value, "not a window: start_ms, end_ms or fields are missing or out of range")
        return self._collect(group, offset, *times, fields)

    def _group_of(self, head: bytes, document: Any) -> Group | None:
        """Give the group of a record whose head was never seen; make it if it is new."""
        identity = parse_head(head)
        if identity is None:
            identity = identity_of(document) if isinstance(document, dict) else None
            if identity is None:
                return None
            measurement, tags = identity
            head = orjson.dumps({"measurement": measurement, "tags": dict(sorted(tags.items()))})[:-1]
        return self.table.groups.get(head) or self.table.add_group(head, *identity)

    def _collect(
        self, group: Group, offset: int, start_ms: int, end_ms: int, fields: dict[str, Any]
    ) -> Unjudged | None:
        if start_ms <= group.start_ms:
            return Unjudged.SUPERSEDED
        self._advance(end_ms)
        if group.head not in self.table.groups:
            group = self.table.add_group(group.head, group.measurement, group.tags)  # it has just expired
        if not fields.keys() <= group.fields.keys():
            self.table.discover(group, fields)
        self._enter_run(group.host, start_ms, end_ms, offset)
        before_ms, group.start_ms, group.end_ms = group.start_ms, start_ms, end_ms
        reason: Unjudged | None = Unjudged.NOT_WATCHED
        for series in group.watched:
            if series.field not in fields:
                continue
            value = _value_of(fields[series.field], series.watch.function)
            if value is not None and series.row != NO_ROW:
                self._append(series, before_ms, start_ms, end_ms, value, offset)
                reason = None
                continue
            why = Unjudged.NO_VALUE if value is None else Unjudged.TOO_MANY
            self.balance.unjudged_samples[why] += 1
            reason = reason and why
        return reason

    def _append(self, series: Series, before_ms: int, start_ms: int, end_ms: int, value: float, offset: int) -> None:
        batch = self._batch
        if series.named is not None:
            batch.named.append(len(batch.rows))
        interval_ms = self.settings.sample_interval_ms
        if interval_ms and before_ms >= 0:
            phase = series.phase % interval_ms
            if (start_ms + phase) // interval_ms != (before_ms + phase) // interval_ms:
                batch.sampled.add(len(batch.rows))
        batch.series.append(series)
        batch.rows.append(series.row)
        batch.start_ms.append(start_ms)
        batch.end_ms.append(end_ms)
        batch.values.append(value)
        batch.offsets.append(offset)

    def _enter_run(self, host: Host, start_ms: int, end_ms: int, offset: int) -> None:
        if self.runs:
            run = self.runs[-1]
            if run.host is host and run.end_ms == end_ms:
                run.offset = offset
                return
        self.runs.append(Run(host, start_ms, end_ms, offset, len(self._batch.rows)))

    def _advance(self, end_ms: int) -> None:
        """Move the partition's time on; forget what is silent whenever an eighth of its expiry has passed."""
        if end_ms <= self.time_ms:
            return
        is_due = self.time_ms and end_ms // self._sweep_ms != self.time_ms // self._sweep_ms
        self.time_ms = end_ms
        if is_due:
            self._judge()
            self._settle(self.runs)
            self.runs = []
            self.table.expire(end_ms - self.settings.expire_after_ms)

    def _judge(self) -> None:
        """Judge the batch, and write what comes of it in the order of its records."""
        batch, self._batch = self._batch, _Batch()
        self.balance.judged_samples += len(batch.rows)
        if batch.rows:
            verdicts = self._verdicts(batch)
            is_wanted = verdicts.level > 0
            is_wanted[list(batch.sampled)] = True
            wanted = np.flatnonzero(is_wanted).tolist()
        else:
            wanted = []
        position = 0
        for number, run in enumerate(self.runs):
            is_last = number + 1 == len(self.runs)
            beyond = len(batch.rows) if is_last else self.runs[number + 1].first
            while position < len(wanted) and wanted[position] < beyond:
                self._write(batch, wanted[position], verdicts, run)
                position += 1
            if not is_last:
                self._settle([run])
        del self.runs[:-1]
        for run in self.runs:
            run.first = 0

    def _verdicts(self, batch: _Batch) -> Verdicts:
        bank = self.table.bank
        rows, times = np.array(batch.rows, np.int64), np.array(batch.start_ms, np.int64)
        values = np.array(batch.values)
        named = np.array(batch.named, np.int64)
        for_named = values[named]
        values[named] = math.nan  # no sample for the bank
        verdicts = bank.update(rows, times, values)
        if len(named):
            scores = [_scored(batch.series[i], value) for i, value in zip(batch.named, for_named.tolist(), strict=True)]
            found = bank.update_scored(rows[named], np.array(scores), times[named], for_named)
            for column, of_named in zip(verdicts, found, strict=True):
                column[named] = of_named
        return verdicts

    def _write(self, batch: _Batch, i: int, verdicts: Verdicts, run: Run) -> None:
        series = batch.series[i]
        score = float(verdicts.score[i])
        level = _level(score, int(verdicts.level[i]), series)
        if level is Level.NORMAL and i not in batch.sampled:
            return
        reason = Reason(int(verdicts.reason[i])).text if level is not Level.NORMAL else None
        if reason is not None:
            run.told[series] = Told(batch.end_ms[i], score, level, reason)
        value = series_record(
            series,
            start_ms=batch.start_ms[i],
            end_ms=batch.end_ms[i],
            value=batch.values[i],
            score=score,
            level=level,
            reason=reason,
            low=float(verdicts.low[i]),
            high=float(verdicts.high[i]),
            partition=self.partition,
            offset=batch.offsets[i],
        )
        self._emit("sample" if reason is None else "anomaly", level, series.group.host.key, value)

    def _settle(self, runs: Iterable[Run]) -> None:
        """Decide about the incidents of resources whose run is over."""
        for run in runs:
            host = run.host
            if host.anomalies.is_calm and not run.told:
                continue
            verdict = host.anomalies.settle(
                run.start_ms, run.end_ms, run.told, host.series_count, self.settings.host, lambda series: series.name
            )
            if verdict is not None:
                value = host_record(
                    host,
                    verdict,
                    start_ms=run.start_ms,
                    end_ms=run.end_ms,
                    partition=self.partition,
                    offset=run.offset,
                )
                self._emit("host", verdict.level, host.key, value)

    def _emit(self, kind: str, level: Level, key: bytes, value: bytes) -> None:
        self._out.keys.append(key)
        self._out.values.append(value)
        self.balance.anomalies[kind, "none" if level is Level.NORMAL else level.name.lower()] += 1

    def _refuse(self, offset: int, value: bytes, message: str) -> Unjudged:
        self._out.refused.append(RefusedRecord(offset, DeadLetterReason.PARSE_SYNTAX, message, value))
        return Unjudged.UNREADABLE


def _times_of(document: Any) -> tuple[int, int] | None:
    """Give start and end of a decoded window; None if they are not what they should be."""
    start_ms, end_ms = document.get("start_ms"), document.get("end_ms")
    if type(start_ms) is not int or type(end_ms) is not int:
        return None
    return (start_ms, end_ms) if 0 <= start_ms < end_ms <= _GREATEST_TIME_MS else None


def _value_of(functions: Any, name: str) -> float | None:
    """Give a finite value of a field; None if it has none of that name."""
    value = functions.get(name) if isinstance(functions, dict) else None
    if type(value) is float or type(value) is int:
        return float(value) if math.isfinite(value) else None
    return None


def _scored(series: Series, value: float) -> float:
    return math.nan if series.named is None else series.named.score(value)


def _level(score: float, level: int, series: Series) -> Level:
    """Give the level of a score by the series' rule, or what the bank says of it where that is lower for its youth."""
    is_young = level == Level.INFO and score >= WARN_SCORE
    reached = sum(score >= least for least in series.watch.levels) if level else 0
    return Level(min(reached, Level.INFO) if is_young else reached)

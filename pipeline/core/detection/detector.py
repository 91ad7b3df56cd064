"""One partition of ``metrics.agg`` judged: windows in, records of ``anomalies`` out."""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any, Final

import orjson

from pipeline.core.anomalies.scorer import Level
from pipeline.core.detection.batch import Batch, Judged, Window
from pipeline.core.detection.host import HostLimits, Told
from pipeline.core.detection.records import host_record, series_record
from pipeline.core.detection.rules import DetectionRules
from pipeline.core.detection.series import NO_ROW, Group, Host, Series, SeriesTable, identity_of, parse_head
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
        self._batch = Batch()
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
        batch = self._batch
        first = len(batch)
        reason: Unjudged | None = Unjudged.NOT_WATCHED
        for series in group.watched:
            if series.field not in fields:
                continue
            value = _value_of(fields[series.field], series.watch.function)
            if value is None or series.row == NO_ROW:
                why = Unjudged.NO_VALUE if value is None else Unjudged.TOO_MANY
                self.balance.unjudged_samples[why] += 1
                reason = reason and why
                continue
            batch.add(series, value)
            reason = None
        if reason is None:
            is_sampled = self._is_sampled(group, before_ms, start_ms)
            batch.end_window(Window(start_ms, end_ms, offset, len(batch) - first, is_sampled))
        return reason

    def _is_sampled(self, group: Group, before_ms: int, start_ms: int) -> bool:
        """Tell whether the time of a sample lies between two windows of a group; each group has its own times."""
        interval_ms = self.settings.sample_interval_ms
        if not interval_ms or before_ms < 0:
            return False
        phase = group.phase % interval_ms
        return (start_ms + phase) // interval_ms != (before_ms + phase) // interval_ms

    def _enter_run(self, host: Host, start_ms: int, end_ms: int, offset: int) -> None:
        if self.runs:
            run = self.runs[-1]
            if run.host is host and run.end_ms == end_ms:
                run.offset = offset
                return
        self.runs.append(Run(host, start_ms, end_ms, offset, len(self._batch)))

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
        batch, self._batch = self._batch, Batch()
        self.balance.judged_samples += len(batch)
        judged = deque(batch.judge(self.table.bank))
        for number, run in enumerate(self.runs):
            is_last = number + 1 == len(self.runs)
            beyond = len(batch) if is_last else self.runs[number + 1].first
            while judged and judged[0].position < beyond:
                self._write(judged.popleft(), run)
            if not is_last:
                self._settle([run])
        del self.runs[:-1]
        for run in self.runs:
            run.first = 0

    def _write(self, judged: Judged, run: Run) -> None:
        if judged.reason is not None:
            run.told[judged.series] = Told(judged.window.end_ms, judged.score, judged.level, judged.reason)
        kind = "sample" if judged.reason is None else "anomaly"
        self._emit(kind, judged.level, judged.series.group.host.key, series_record(judged, self.partition))

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

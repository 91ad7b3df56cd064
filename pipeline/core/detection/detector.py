"""One partition of ``metrics.agg`` scored: windows in, records of ``anomalies`` out."""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any, Final

import orjson

from pipeline.core.detection.batch import Batch, Scored, Window
from pipeline.core.detection.host import HostLimits, Reported
from pipeline.core.detection.records import host_record, series_record
from pipeline.core.detection.rules import DetectionRules
from pipeline.core.detection.series import (
    NO_ROW,
    ScoredHost,
    ScoredSeriesTable,
    SeriesGroup,
    WatchedSeries,
    identity_of,
    parse_head,
)
from schemas.reasons import DeadLetterReason, NotScored
from schemas.records import SCHEMA_VERSION
from schemas.severity import Severity

_VERSION: Final = b'{"schema_version":%d,' % SCHEMA_VERSION
_START: Final = b',"start_ms":'
_GREATEST_TIME_MS: Final = 2**53
_SWEEPS: Final = 8
"""How often a series that is silent for the time of its expiry is looked at meanwhile."""


@dataclass(frozen=True, slots=True)
class DetectionSettings:
    """What scoring depends on beside rules.

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
    """What became of records and values: ``records = scored_windows + unscored_windows``, by reason."""

    records: int = 0
    scored_windows: int = 0
    unscored_windows: Counter[NotScored] = field(default_factory=Counter)
    scored_samples: int = 0
    unscored_samples: Counter[NotScored] = field(default_factory=Counter)
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
class DetectionOutput:
    """What comes out of some records."""

    keys: list[bytes]
    values: list[bytes]
    refused: list[RefusedRecord]


@dataclass(slots=True)
class HostWindows:
    """Windows of one resource and time that followed each other: what its anomalies are counted over.

    Attributes
    ----------
    first : int
        Its first sample in the batch.
    reported : dict
        What was reported of its series.
    """

    host: ScoredHost
    start_ms: int
    end_ms: int
    offset: int
    first: int = 0
    reported: dict[WatchedSeries, Reported] = field(default_factory=dict)


class PartitionDetector:
    """Scores the windows of one partition, each by what its series was before it.

    What comes out follows from the records and their order alone, however they are cut into batches: a window that is
    not later than the newest of its group is left out, so that no score ever changes, and series are forgotten by the
    partition's event time.

    Parameters
    ----------
    partition : int
        Its number.
    rules : DetectionRules
        Which series are scored; `follow` changes them.
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
        self.table = ScoredSeriesTable(rules, zone_of, settings.most_named)
        self.time_ms = 0
        """The partition's event time: the greatest end of a window."""
        self.host_windows: list[HostWindows] = []
        """Those that began; the last one is still open between two calls."""
        self._batch = Batch()
        self._out = DetectionOutput([], [], [])
        self._sweep_ms = max(settings.expire_after_ms // _SWEEPS, 1)

    def add(self, records: Iterable[tuple[int, bytes | None]]) -> DetectionOutput:
        """Score the next records, in their order, and return what is reported of them.

        Parameters
        ----------
        records : iterable of (int, bytes or None)
            Offset and value of each.
        """
        for offset, value in records:
            self.balance.records += 1
            reason = self._take(offset, value)
            if reason is None:
                self.balance.scored_windows += 1
            else:
                self.balance.unscored_windows[reason] += 1
        self._score()
        out, self._out = self._out, DetectionOutput([], [], [])
        return out

    def follow(self, rules: DetectionRules) -> None:
        """Put other rules in force: series that they score otherwise begin anew, all others go on."""
        self.table.follow(rules)
        for each in self.host_windows:
            each.reported = {series: said for series, said in each.reported.items() if series.is_scored}

    def _take(self, offset: int, value: bytes | None) -> NotScored | None:
        """Put a window's values into the batch; return why there are none."""
        if value is None:
            return NotScored.UNREADABLE
        document: Any = None
        end = value.find(_START)
        # without its version, which records of before it do not have
        head = b"{" + value[len(_VERSION) : end] if value.startswith(_VERSION) else value[:end]
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
            return NotScored.NOT_WATCHED
        times = _times_of(document)
        fields = document.get("fields")
        if times is None or not isinstance(fields, dict):
            return self._refuse(offset, value, "not a window: start_ms, end_ms or fields are missing or out of range")
        return self._collect(group, offset, *times, fields)

    def _group_of(self, head: bytes, document: Any) -> SeriesGroup | None:
        """Return the group of a record whose head was never seen; make it if it is new."""
        identity = parse_head(head)
        if identity is None:
            identity = identity_of(document) if isinstance(document, dict) else None
            if identity is None:
                return None
            measurement, tags = identity
            head = orjson.dumps({"measurement": measurement, "tags": dict(sorted(tags.items()))})[:-1]
        return self.table.groups.get(head) or self.table.add_group(head, *identity)

    def _collect(
        self, group: SeriesGroup, offset: int, start_ms: int, end_ms: int, fields: dict[str, Any]
    ) -> NotScored | None:
        if start_ms <= group.start_ms:
            return NotScored.SUPERSEDED
        self._advance(end_ms)
        if group.head not in self.table.groups:
            group = self.table.add_group(group.head, group.measurement, group.tags)  # it has just expired
        if not fields.keys() <= group.fields.keys():
            self.table.discover(group, fields)
        self._enter_host(group.host, start_ms, end_ms, offset)
        before_ms, group.start_ms, group.end_ms = group.start_ms, start_ms, end_ms
        batch = self._batch
        first = len(batch)
        reason: NotScored | None = NotScored.NOT_WATCHED
        for series in group.watched:
            if series.field not in fields:
                continue
            value = _value_of(fields[series.field], series.watch.function)
            if value is None or series.row == NO_ROW:
                why = NotScored.NO_VALUE if value is None else NotScored.TOO_MANY
                self.balance.unscored_samples[why] += 1
                reason = reason and why
                continue
            batch.add(series, value)
            reason = None
        if reason is None:
            is_sampled = self._is_sampled(group, before_ms, start_ms)
            batch.end_window(Window(start_ms, end_ms, offset, len(batch) - first, is_sampled))
        return reason

    def _is_sampled(self, group: SeriesGroup, before_ms: int, start_ms: int) -> bool:
        """Return whether the time of a sample lies between two windows of a group; each group has its own times."""
        interval_ms = self.settings.sample_interval_ms
        if not interval_ms or before_ms < 0:
            return False
        phase = group.phase % interval_ms
        return (start_ms + phase) // interval_ms != (before_ms + phase) // interval_ms

    def _enter_host(self, host: ScoredHost, start_ms: int, end_ms: int, offset: int) -> None:
        if self.host_windows:
            last = self.host_windows[-1]
            if last.host is host and last.end_ms == end_ms:
                last.offset = offset
                return
        self.host_windows.append(HostWindows(host, start_ms, end_ms, offset, len(self._batch)))

    def _advance(self, end_ms: int) -> None:
        """Move the partition's time on; forget what is silent whenever an eighth of its expiry has passed."""
        if end_ms <= self.time_ms:
            return
        is_due = self.time_ms and end_ms // self._sweep_ms != self.time_ms // self._sweep_ms
        self.time_ms = end_ms
        if is_due:
            self._score()
            self._settle(self.host_windows)
            self.host_windows = []
            self.table.expire(end_ms - self.settings.expire_after_ms)

    def _score(self) -> None:
        """Score the batch, and write what comes of it in the order of its records."""
        batch, self._batch = self._batch, Batch()
        self.balance.scored_samples += len(batch)
        scored = deque(batch.score(self.table.scorer))
        for number, each in enumerate(self.host_windows):
            is_last = number + 1 == len(self.host_windows)
            beyond = len(batch) if is_last else self.host_windows[number + 1].first
            while scored and scored[0].position < beyond:
                self._write(scored.popleft(), each)
            if not is_last:
                self._settle([each])
        del self.host_windows[:-1]
        for each in self.host_windows:
            each.first = 0

    def _write(self, scored: Scored, windows: HostWindows) -> None:
        if scored.reason is not None:
            windows.reported[scored.series] = Reported(scored.window.end_ms, scored.score, scored.level, scored.reason)
        kind = "sample" if scored.reason is None else "anomaly"
        self._emit(kind, scored.level, scored.series.group.host.key, series_record(scored, self.partition))

    def _settle(self, host_windows: Iterable[HostWindows]) -> None:
        """Decide about the incidents of resources whose windows of one time are complete."""
        for each in host_windows:
            host = each.host
            if host.anomalies.is_calm and not each.reported:
                continue
            update = host.anomalies.settle(
                each.start_ms,
                each.end_ms,
                each.reported,
                host.series_count,
                self.settings.host,
                lambda series: series.name,
            )
            if update is not None:
                value = host_record(
                    host,
                    update,
                    start_ms=each.start_ms,
                    end_ms=each.end_ms,
                    partition=self.partition,
                    offset=each.offset,
                )
                self._emit("host", update.level, host.key, value)

    def _emit(self, kind: str, level: Severity, key: bytes, value: bytes) -> None:
        self._out.keys.append(key)
        self._out.values.append(value)
        self.balance.anomalies[kind, "none" if level is Severity.NORMAL else level.name.lower()] += 1

    def _refuse(self, offset: int, value: bytes, message: str) -> NotScored:
        self._out.refused.append(RefusedRecord(offset, DeadLetterReason.PARSE_SYNTAX, message, value))
        return NotScored.UNREADABLE


def _times_of(document: Any) -> tuple[int, int] | None:
    """Return start and end of a decoded window; None if they are not what they should be."""
    start_ms, end_ms = document.get("start_ms"), document.get("end_ms")
    if type(start_ms) is not int or type(end_ms) is not int:
        return None
    return (start_ms, end_ms) if 0 <= start_ms < end_ms <= _GREATEST_TIME_MS else None


def _value_of(functions: Any, name: str) -> float | None:
    """Return a finite value of a field; None if it has none of that name."""
    value = functions.get(name) if isinstance(functions, dict) else None
    if type(value) is float or type(value) is int:
        return float(value) if math.isfinite(value) else None
    return None

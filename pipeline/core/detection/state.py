"""What a restart needs of a partition's detection: series, scorer, incidents, as a snapshot and back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any, Final

import numpy as np
import orjson

from pipeline.core.anomalies.scorer import DEFAULT_DETECTOR, Reason
from pipeline.core.anomalies.state import ScorerState
from pipeline.core.detection.detector import DetectionSettings, HostWindows, PartitionDetector
from pipeline.core.detection.host import HostAnomalies, Reported
from pipeline.core.detection.named_detector import NamedDetector
from pipeline.core.detection.rules import DetectionRules, Watch
from pipeline.core.detection.series import NO_ROW, ScoredHost, ScoredSeriesTable, SeriesGroup, WatchedSeries, parse_head
from pipeline.core.snapshots.snapshot import Snapshot
from schemas.severity import Severity

STATE_VERSION: Final = 2
_SCORER: Final = "bank."
"""What the scorer's arrays are called in a snapshot begins with it."""
_REASONS: Final = {reason.text: reason for reason in Reason}
"""By the text that stands in a snapshot."""


class DetectionStateError(ValueError):
    """A snapshot that is not the state of a partition's detection."""


@dataclass(slots=True)
class SeriesText:
    """The series of a partition as bytes, kept from one snapshot to the next: they change rarely."""

    changes: int = -1
    groups: list[SeriesGroup] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    text: bytes = b""

    def update(self, table: ScoredSeriesTable) -> None:
        """Write them anew if they have changed."""
        if self.changes == table.changes:
            return
        self.changes = table.changes
        self.groups = [group for group in table.groups.values() if group.fields]
        watches: dict[Watch, int] = {}
        self.text = orjson.dumps([_group_document(group, watches) for group in self.groups])
        self.watches = list(watches)


def snapshot(detector: PartitionDetector, next_offset: int, series: SeriesText | None = None) -> Snapshot:
    """Return a partition's state, its arrays the live ones: copy them before the next record.

    Parameters
    ----------
    detector
        The partition, after all records before ``next_offset``.
    next_offset
        Where a restart goes on.
    series
        That of the last snapshot of this partition.
    """
    table = detector.table
    series = series or SeriesText()
    series.update(table)
    named = [each.named for each in table.series() if each.named is not None] if table.named_count else []
    state = {
        "time_ms": detector.time_ms,
        "used": table.used,
        "free": table.free,
        "watches": [[each.function, each.zone, each.detector, each.parameters, each.levels] for each in series.watches],
        "hosts": [_host_document(host) for host in table.hosts.values() if not host.anomalies.is_calm],
        "runs": [
            [each.host.key.decode(), each.start_ms, each.end_ms, each.offset, _reported_document(each.reported)]
            for each in detector.host_windows
        ],
    }
    live = table.scorer.live(table.used)
    arrays = {f"{_SCORER}{name}": column for name, column in zip(ScorerState._fields, live, strict=True)}
    times = [time_ms for group in series.groups for time_ms in (group.start_ms, group.end_ms)]
    arrays["groups"] = np.frombuffer(series.text, np.uint8)
    arrays["times"] = np.array(times, np.int64).reshape(-1, 2)
    arrays["named"] = np.array([sample for each in named for sample in each.samples])
    arrays["named_lengths"] = np.array([len(each.samples) for each in named], np.int64)
    return Snapshot(next_offset, {"state": orjson.dumps(state)}, arrays)


def restore(
    saved: Snapshot,
    partition: int,
    rules: DetectionRules,
    settings: DetectionSettings,
    zone_of: Callable[[str], tzinfo],
) -> PartitionDetector:
    """Return the partition that a snapshot was made of, under the rules of now.

    Raises
    ------
    DetectionStateError
        If it is no such state.
    """
    detector = PartitionDetector(partition, rules, settings, zone_of)
    try:
        state = orjson.loads(saved.records["state"])
        _restore_groups(detector.table, saved, state)
        _restore_scorer(detector.table, saved, state, zone_of)
        detector.time_ms = state["time_ms"]
        for key, begun_ms, level, reported in state["hosts"]:
            anomalies = HostAnomalies(_reported(detector.table, reported), begun_ms, Severity(level))
            detector.table.hosts[key.encode()].anomalies = anomalies
        for key, start_ms, end_ms, offset, reported in state["runs"]:
            host = detector.table.hosts[key.encode()]
            windows = HostWindows(host, start_ms, end_ms, offset, 0, _reported(detector.table, reported))
            detector.host_windows.append(windows)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DetectionStateError(f"not the state of a partition's detection: {error!r}") from error
    detector.follow(rules)
    detector.table.started = detector.table.ended = 0
    return detector


def _group_document(group: SeriesGroup, watches: dict[Watch, int]) -> list[Any]:
    """Return head and fields; a field that is scored with its watch, by number, and its row."""
    fields = [
        [name] if series is None else [name, watches.setdefault(series.watch, len(watches)), series.row]
        for name, series in group.fields.items()
    ]
    return [group.head.decode(), fields]


def _host_document(host: ScoredHost) -> list[Any]:
    anomalies = host.anomalies
    return [host.key.decode(), anomalies.begun_ms, int(anomalies.level), _reported_document(anomalies.reported)]


def _reported_document(reported: Mapping[WatchedSeries, Reported]) -> list[Any]:
    return [
        [series.group.head.decode(), series.field, each.end_ms, each.score, each.level, each.reason.text]
        for series, each in reported.items()
    ]


def _reported(table: ScoredSeriesTable, document: list[Any]) -> dict[WatchedSeries, Reported]:
    reported = {}
    for head, name, end_ms, score, level, reason in document:
        series = table.groups[head.encode()].fields[name]
        if series is None:
            raise ValueError(f"{name} of {head} is not scored")
        reported[series] = Reported(end_ms, score, Severity(level), _REASONS[reason])
    return reported


def _restore_groups(table: ScoredSeriesTable, saved: Snapshot, state: dict[str, Any]) -> None:
    """Make the groups and their series, each in its row, without a state."""
    watches = [
        Watch(function, zone, detector, tuple((name, value) for name, value in parameters), tuple(levels))
        for function, zone, detector, parameters, levels in state["watches"]
    ]
    samples = np.split(saved.arrays["named"], np.cumsum(saved.arrays["named_lengths"])[:-1])
    documents = orjson.loads(saved.arrays["groups"].tobytes())
    named = iter(samples)
    for (head, fields), times in zip(documents, saved.arrays["times"].tolist(), strict=True):
        identity = parse_head(head.encode())
        if identity is None:
            raise ValueError(f"no head of a record: {head[:200]}")
        group = table.add_group(head.encode(), *identity)
        group.start_ms, group.end_ms = times
        for name, *scored in fields:
            group.fields[name] = None
            if scored:
                watch, row = watches[scored[0]], scored[1]
                is_named = watch.detector != DEFAULT_DETECTOR and row != NO_ROW
                learnt = NamedDetector(watch.detector, watch.parameters, next(named).tolist()) if is_named else None
                group.fields[name] = table.put(group, name, watch, row, learnt)
        group.list_watched()


def _restore_scorer(
    table: ScoredSeriesTable, saved: Snapshot, state: dict[str, Any], zone_of: Callable[[str], tzinfo]
) -> None:
    table.used, table.free = state["used"], state["free"]
    if table.used:
        table.scorer.grow(table.used)
        for series in table.series():
            if series.row != NO_ROW:
                table.scorer.start(series.row, table.scorer.add_zone(zone_of(series.watch.zone)))
        columns = [saved.arrays[f"{_SCORER}{name}"] for name in ScorerState._fields]
        table.scorer.restore(np.arange(table.used), ScorerState(*columns))

"""The scored series of one partition: found by the head of a window's record, each with a row of the scorer."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any, Final

import orjson

from pipeline.core.anomalies.scorer import DEFAULT_DETECTOR, SeriesScorer
from pipeline.core.detection.host import HostAnomalies
from pipeline.core.detection.named_detector import NamedDetector
from pipeline.core.detection.rules import DetectionRules, Watch
from pipeline.core.records.identity.resource import resource_of

NEVER_MS: Final = -(2**62)
NO_ROW: Final = -1
"""The row of a series that asks for one detector of river's too many."""
HOST_TAGS: Final = (
    "ns_id",
    "infra_id",
    "node_id",
    "node_name",
    "host",
    "region",
    "csp",
    "cspType",
    "osType",
)
"""What of a series' tags says which resource it is, and where."""


@dataclass(slots=True, eq=False)
class ScoredHost:
    """One resource.

    Attributes
    ----------
    key : bytes
        Its name, the key of its records.
    tags : mapping of str to str
        Those of `HOST_TAGS` that it has.
    anomalies : HostAnomalies
        What is anomalous of it.
    series_count : int
        How many of its series are scored.
    group_count : int
        How many groups it has.
    """

    key: bytes
    tags: Mapping[str, str]
    anomalies: "HostAnomalies[WatchedSeries]" = field(default_factory=HostAnomalies)
    series_count: int = 0
    group_count: int = 0


@dataclass(slots=True, eq=False)
class SeriesGroup:
    """One measurement and tag set, whose fields close in one window.

    Attributes
    ----------
    head : bytes
        Its records up to the time, without their version: ``{"measurement":…,"tags":…``.
    phase : int
        Spreads the samples of scores over time.
    may_watch : bool
        Whether any field of it might be scored; else its records are not even parsed.
    start_ms, end_ms : int
        Of the newest window that was scored; `NEVER_MS` before the first.
    fields : dict of str to (WatchedSeries or None)
        The fields that it ever had; None for one that is not scored.
    watched : list of WatchedSeries
        Those that are.
    """

    head: bytes
    measurement: str
    tags: dict[str, str]
    host: ScoredHost
    phase: int
    may_watch: bool
    start_ms: int = NEVER_MS
    end_ms: int = NEVER_MS
    fields: "dict[str, WatchedSeries | None]" = field(default_factory=dict)
    watched: "list[WatchedSeries]" = field(default_factory=list)

    def list_watched(self) -> None:
        """Set `watched` from `fields`."""
        self.watched = [series for series in self.fields.values() if series is not None]


@dataclass(slots=True, eq=False)
class WatchedSeries:
    """One field of a group, as it is scored."""

    group: SeriesGroup
    field: str
    watch: Watch
    row: int
    """Of the scorer."""
    named: NamedDetector | None = None

    @property
    def is_scored(self) -> bool:
        """Whether it is still the one that is scored under its name."""
        return self.group.fields.get(self.field) is self

    @property
    def name(self) -> str:
        """What orders it among others."""
        return f"{self.group.measurement} {self.field} {self.group.head.decode('utf-8', 'replace')}"


class ScoredSeriesTable:
    """The groups, series and resources of one partition, and the scorer that their series have rows of.

    Parameters
    ----------
    rules : DetectionRules
        Which series are scored.
    zone_of : callable
        Gives a time zone by its name.
    most_named : int
        Series that may have a detector of river's.
    """

    def __init__(self, rules: DetectionRules, zone_of: Callable[[str], tzinfo], most_named: int) -> None:
        self.rules = rules
        self.scorer = SeriesScorer((UTC,))
        self.groups: dict[bytes, SeriesGroup] = {}
        self.hosts: dict[bytes, ScoredHost] = {}
        self.free: list[int] = []
        self.used = 0
        """Rows that are or were used: all others are beyond."""
        self.changes = 0
        """A number that is another one whenever a group, a field or a series came or went."""
        self.named_count = 0
        self.started = 0
        self.ended = 0
        self._zone_of = zone_of
        self._most_named = most_named

    @property
    def series_count(self) -> int:
        """How many series are scored."""
        return self.used - len(self.free)

    def series(self) -> Iterator[WatchedSeries]:
        """Yield all series, in the order in which their groups came."""
        for group in self.groups.values():
            yield from group.watched

    def add_group(self, head: bytes, measurement: str, tags: dict[str, str]) -> SeriesGroup:
        """Make a group, whose fields are still to be found."""
        key = resource_of(tags).encode()
        host = self.hosts.get(key)
        if host is None:
            host = self.hosts[key] = ScoredHost(key, {name: tags[name] for name in HOST_TAGS if name in tags})
        host.group_count += 1
        group = SeriesGroup(head, measurement, tags, host, zlib.crc32(head), self.rules.may_watch(measurement, tags))
        self.groups[head] = group
        self.changes += 1
        return group

    def discover(self, group: SeriesGroup, names: Iterable[str]) -> None:
        """Decide about fields that a group had not before."""
        self.changes += 1
        for name in names:
            if name not in group.fields:
                watch = self.rules.watch_of(group.measurement, name, group.tags)
                group.fields[name] = None if watch is None else self._start(group, name, watch)
        group.list_watched()

    def put(
        self, group: SeriesGroup, name: str, watch: Watch, row: int, named: NamedDetector | None = None
    ) -> WatchedSeries:
        """Make a series whose state is in a row of the scorer, or one that has no row."""
        if row != NO_ROW:
            group.host.series_count += 1
            self.named_count += named is not None
        return WatchedSeries(group, name, watch, row, named)

    def follow(self, rules: DetectionRules) -> None:
        """Put other rules in force: series that they score otherwise begin anew, all others go on."""
        self.rules = rules
        self.changes += 1
        for group in self.groups.values():
            group.may_watch = rules.may_watch(group.measurement, group.tags)
            for name, series in group.fields.items():
                watch = rules.watch_of(group.measurement, name, group.tags)
                if series is not None and watch is not None and series.watch.learns_like(watch):
                    series.watch = watch
                    continue
                if series is not None:
                    self._end(series)
                group.fields[name] = None if watch is None else self._start(group, name, watch)
            group.list_watched()

    def expire(self, before_ms: int) -> None:
        """Forget the groups that had no window which ends at or after a time, and free their rows."""
        for group in [group for group in self.groups.values() if group.end_ms < before_ms]:
            for series in group.watched:
                self._end(series)
            del self.groups[group.head]
            self.changes += 1
            group.host.group_count -= 1
            if group.host.group_count == 0:
                del self.hosts[group.host.key]

    def _end(self, series: WatchedSeries) -> None:
        series.group.host.anomalies.forget([series])
        if series.row == NO_ROW:
            return
        self.named_count -= series.named is not None
        series.group.host.series_count -= 1
        self.free.append(series.row)
        self.ended += 1

    def _start(self, group: SeriesGroup, name: str, watch: Watch) -> WatchedSeries:
        """Begin a series in a free row of the scorer, or in none if it is one of river's too many."""
        named = None
        if watch.detector != DEFAULT_DETECTOR:
            if self.named_count >= self._most_named:
                return self.put(group, name, watch, NO_ROW)
            named = NamedDetector(watch.detector, watch.parameters)
        row = self.free.pop() if self.free else self.used
        self.used = max(self.used, row + 1)
        self.scorer.start(row, self.scorer.add_zone(self._zone_of(watch.zone)))
        self.started += 1
        return self.put(group, name, watch, row, named)


def parse_head(head: bytes) -> tuple[str, dict[str, str]] | None:
    """Return measurement and tags of a record's head; None if it is no head as the aggregate stage writes it.

    Examples
    --------
    >>> parse_head(b'{"measurement":"cpu","tags":{"host":"a"}')
    ('cpu', {'host': 'a'})
    """
    if not head.startswith(b'{"measurement":'):
        return None
    try:
        document = orjson.loads(head + b"}")
    except orjson.JSONDecodeError:
        return None
    return identity_of(document) if isinstance(document, dict) and document.keys() == {"measurement", "tags"} else None


def identity_of(document: Mapping[str, Any]) -> tuple[str, dict[str, str]] | None:
    """Return measurement and tags of a decoded record; None if they are not what they should be."""
    measurement, tags = document.get("measurement"), document.get("tags")
    if not isinstance(measurement, str) or not measurement or not isinstance(tags, dict):
        return None
    return (measurement, tags) if all(isinstance(value, str) for value in tags.values()) else None

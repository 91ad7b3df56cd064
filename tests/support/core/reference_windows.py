"""A slow, plain second opinion on the aggregation: dicts and lists, every result computed from all samples.

It shares with the compiled core the plain parsers and the names of tags, nothing else. Windows are never thrown away;
whatever a rule says about being forgotten is decided by the rule's own numbers.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from pipeline.core.records.identity.resource import canonical_tags
from pipeline.core.records.telegraf.parsed import ParsedMetric
from pipeline.core.records.telegraf.record import parse_record

Record = dict[str, Any]
Identity = tuple[str, tuple[tuple[str, str], ...]]

LONG_AGO = -(10**30)


@dataclass(frozen=True)
class Times:
    """The partition's times, in milliseconds."""

    grace_ms: int
    idle_close_ms: int
    forget_ms: int
    lead_ms: int


@dataclass(frozen=True)
class Cycle:
    """The times of a row, in milliseconds."""

    every_ms: int
    grace_ms: int
    allowed_lateness_ms: int


@dataclass
class Sample:
    """One number."""

    time_ms: int
    value: float
    order: int


@dataclass
class Window:
    """All samples of one row between two times."""

    start_ms: int
    end_ms: int
    fields: dict[str, list[Sample]] = field(default_factory=dict)
    offsets: list[int] = field(default_factory=list)
    lags: list[int] = field(default_factory=list)
    moved_at: int = -1
    closed: bool = False

    @property
    def sample_count(self) -> int:
        return sum(len(samples) for samples in self.fields.values())


@dataclass
class Row:
    """One measurement and tag set."""

    measurement: str
    tags: dict[str, str]
    cycle: Cycle
    windows: dict[int, Window] = field(default_factory=dict)


@dataclass
class Resource:
    """Whose rows they are, and the times that decide about them."""

    rows: dict[Identity, Row] = field(default_factory=dict)
    time_ms: int = LONG_AGO
    idle_ms: int = LONG_AGO
    floor_ms: int = LONG_AGO
    seen_ms: int = LONG_AGO
    clock_ms: int = LONG_AGO

    def watermark_ms(self, row: Row) -> int:
        return max(self.time_ms - row.cycle.grace_ms, self.idle_ms)

    def open_windows(self) -> list[tuple[Row, Window]]:
        return [(row, window) for row in self.rows.values() for window in row.windows.values() if not window.closed]


@dataclass
class Line:
    """One parsed metric on its way into a window."""

    resource: Resource
    row: Row
    time_ms: int
    numbers: dict[str, float]


class ReferenceAggregator:
    """Does slowly what `PartitionAggregator` does.

    ``counts`` holds parsed, aggregated, late, too_late and filtered samples, refused items and records emitted.
    """

    def __init__(
        self,
        partition: int,
        times: Times,
        cycle_of: Callable[[str, Mapping[str, str]], Cycle],
        is_counter: Callable[[str, str], bool],
        *,
        future_limit_ms: int = 600_000,
    ) -> None:
        self.partition = partition
        self.times = times
        self.cycle_of = cycle_of
        self.is_counter = is_counter
        self.future_limit_ms = future_limit_ms
        self.resources: dict[str, Resource] = {}
        self.partition_ms: int | None = None
        self.counts: Counter[str] = Counter()
        self._order = 0

    @property
    def open_samples(self) -> int:
        return sum(window.sample_count for r in self.resources.values() for _, window in r.open_windows())

    def add(
        self, values: Sequence[bytes], first_offset: int, now_ms: int, timestamps_ms: Sequence[int] | None = None
    ) -> list[Record]:
        emitted: list[Record] = []
        for place, value in enumerate(values):
            kafka_ms = -1 if timestamps_ms is None else timestamps_ms[place]
            emitted += self._add_record(value, first_offset + place, kafka_ms, now_ms)
        for resource in self.resources.values():
            emitted += self._close_if_quiet_by_partition(resource)
        return emitted

    def rest(self, now_ms: int) -> list[Record]:
        emitted: list[Record] = []
        for resource in self.resources.values():
            emitted += self._close_if_quiet_by_partition(resource)
            emitted += self._close_if_quiet(resource, now_ms - resource.clock_ms, now_ms - self.times.grace_ms)
        return emitted

    def finish(self) -> list[Record]:
        return [
            self._close(row, window, resource)
            for resource in self.resources.values()
            for row, window in resource.open_windows()
        ]

    def _add_record(self, value: bytes, offset: int, kafka_ms: int, now_ms: int) -> list[Record]:
        lines = self._parsed(value, kafka_ms, now_ms)
        heard = list({id(line.resource): line.resource for line in lines}.values())
        emitted: list[Record] = []
        for resource in heard:
            emitted += self._close_if_quiet_by_partition(resource)

        # every line against the times as they stood before the record
        again: list[tuple[Row, Window, Resource]] = []
        for line in lines:
            again += self._fold(line, offset, kafka_ms)

        # then the record's event times move the time, all together
        for line in lines:
            line.resource.time_ms = max(line.resource.time_ms, line.time_ms)
        self._move_partition_time()
        for resource in heard:
            resource.seen_ms = resource.time_ms if self.partition_ms is None else self.partition_ms
            resource.clock_ms = now_ms
            for row, window in resource.open_windows():
                if window.end_ms <= resource.watermark_ms(row):
                    emitted.append(self._close(row, window, resource))

        for row, window, resource in {id(item[1]): item for item in again}.values():
            emitted.append(self._record(row, window, resource))
        return emitted

    def _parsed(self, value: bytes, kafka_ms: int, now_ms: int) -> list[Line]:
        lines = []
        for metric in parse_record(value):
            if not isinstance(metric, ParsedMetric):
                self.counts["refused"] += 1
                continue
            time_ms = kafka_ms if metric.time_ns is None else metric.time_ns // 1_000_000
            if (metric.time_ns is None and kafka_ms < 0) or time_ms > now_ms + self.future_limit_ms:
                self.counts["refused"] += 1
                continue
            numbers = {}
            for name, field_value in metric.fields.items():
                number = _number(field_value)
                if number is None:
                    self.counts["filtered"] += 1
                else:
                    numbers[name] = number
            self.counts["parsed"] += len(numbers)
            resource, row = self._row(metric)
            lines.append(Line(resource, row, time_ms, numbers))
        return lines

    def _row(self, metric: ParsedMetric) -> tuple[Resource, Row]:
        tags = canonical_tags(metric.tags)
        resource = self.resources.setdefault(_resource_name(tags), Resource())
        identity = (metric.measurement, tuple(tags.items()))
        if identity not in resource.rows:
            resource.rows[identity] = Row(metric.measurement, tags, self.cycle_of(metric.measurement, tags))
        return resource, resource.rows[identity]

    def _fold(self, line: Line, offset: int, kafka_ms: int) -> list[tuple[Row, Window, Resource]]:
        """Put a line's samples into its window; give the closed windows that have to be emitted again."""
        row, resource = line.row, line.resource
        if not line.numbers:
            return []
        start_ms = line.time_ms // row.cycle.every_ms * row.cycle.every_ms
        end_ms = start_ms + row.cycle.every_ms
        watermark_ms = resource.watermark_ms(row)
        own_ms = resource.time_ms - row.cycle.grace_ms  # silence closes windows, it makes nothing too late
        if end_ms <= resource.floor_ms or end_ms + row.cycle.allowed_lateness_ms <= own_ms:
            self.counts["too_late"] += len(line.numbers)
            return []
        late = end_ms <= watermark_ms
        window = row.windows.setdefault(start_ms, Window(start_ms, end_ms, closed=late))
        moved = False
        for name, value in line.numbers.items():
            samples = window.fields.setdefault(name, [])
            if self.is_counter(row.measurement, name):
                moved = moved or not samples or line.time_ms >= max(sample.time_ms for sample in samples)
            samples.append(Sample(line.time_ms, value, self._order))
            self._order += 1
        window.offsets.append(offset)
        if kafka_ms >= 0:
            window.lags.append(kafka_ms - line.time_ms)
        again = []
        if late:
            self.counts["late"] += len(line.numbers)
            again.append((row, window, resource))
        following = row.windows.get(end_ms)
        if moved and following is not None:
            following.moved_at = max(following.moved_at, offset)
            if following.closed:
                again.append((row, following, resource))
        return again

    def _move_partition_time(self) -> None:
        times = sorted((r.time_ms for r in self.resources.values() if r.time_ms != LONG_AGO), reverse=True)
        if len(times) < 2:
            return
        first, second = times[:2]
        now = first if first - second <= self.times.lead_ms else second
        self.partition_ms = now if self.partition_ms is None else max(self.partition_ms, now)

    def _close_if_quiet_by_partition(self, resource: Resource) -> list[Record]:
        if self.partition_ms is None or resource.time_ms == LONG_AGO:
            return []
        silent_ms = self.partition_ms - resource.seen_ms
        return self._close_if_quiet(resource, silent_ms, self.partition_ms - self.times.grace_ms)

    def _close_if_quiet(self, resource: Resource, silent_ms: int, up_to_ms: int) -> list[Record]:
        if silent_ms < self.times.idle_close_ms:
            return []
        emitted = []
        for row, window in resource.open_windows():
            if window.end_ms <= up_to_ms:
                emitted.append(self._close(row, window, resource))
                resource.idle_ms = max(resource.idle_ms, window.end_ms)
        if silent_ms >= self.times.forget_ms and not resource.open_windows():
            ends = [window.end_ms for row in resource.rows.values() for window in row.windows.values()]
            resource.floor_ms = max([resource.floor_ms, *ends])
            resource.idle_ms = max([resource.idle_ms, *ends])
        return emitted

    def _close(self, row: Row, window: Window, resource: Resource) -> Record:
        window.closed = True
        self.counts["aggregated"] += window.sample_count
        return self._record(row, window, resource)

    def _record(self, row: Row, window: Window, resource: Resource) -> Record:
        self.counts["emitted"] += 1
        before = row.windows.get(window.start_ms - row.cycle.every_ms)
        if before is not None and before.end_ms <= resource.floor_ms:
            before = None
        fields = {}
        for name, samples in window.fields.items():
            fields[name] = _functions(samples)
            if self.is_counter(row.measurement, name):
                fields[name] |= _growth(samples, before.fields.get(name, []) if before else [])
        return {
            "schema_version": 1,
            "measurement": row.measurement,
            "tags": row.tags,
            "start_ms": window.start_ms,
            "end_ms": window.end_ms,
            "revision": max(*window.offsets, window.moved_at),
            "fields": fields,
            "partition": self.partition,
            "first_offset": min(window.offsets),
            "last_offset": max(window.offsets),
            "lag_ms": max([0, *window.lags]),
        }


def by_window(records: Iterable[Record]) -> dict[tuple[str, tuple[tuple[str, str], ...], int], list[Record]]:
    """Return what was emitted of each window, in order."""
    windows: dict[tuple[str, tuple[tuple[str, str], ...], int], list[Record]] = {}
    for record in records:
        key = (record["measurement"], tuple(record["tags"].items()), record["start_ms"])
        windows.setdefault(key, []).append(record)
    return windows


def _resource_name(tags: Mapping[str, str]) -> str:
    if "node_id" in tags:
        return "/".join((tags.get("ns_id", "-"), tags.get("infra_id", "-"), tags["node_id"]))
    return tags.get("node_name", tags.get("host", "-"))


def _number(value: float | str) -> float | None:
    """Return a field's value as a double, None if it is none."""
    if isinstance(value, str):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _functions(samples: Sequence[Sample]) -> dict[str, float]:
    total = samples[0].value
    for sample in samples[1:]:
        total = total + sample.value
    return {
        "min": min(sample.value for sample in samples),
        "max": max(sample.value for sample in samples),
        "avg": total / len(samples),
        "last": max(samples, key=lambda sample: (sample.time_ms, sample.order)).value,
        "first": min(samples, key=lambda sample: (sample.time_ms, -sample.order)).value,
        "sum": total,
        "count": len(samples),
    }


def _in_time(samples: Sequence[Sample]) -> list[tuple[int, float]]:
    """Return time and value of each sample in order of time; of two at one time the later one counts."""
    ordered = sorted(samples, key=lambda sample: sample.order)
    return sorted({sample.time_ms: sample.value for sample in ordered}.items())


def _growth(samples: Sequence[Sample], before: Sequence[Sample]) -> dict[str, float]:
    steps = _in_time(samples)
    steps = [*_in_time(before)[-1:], *steps] if before else steps
    increase = 0.0
    for (_, lower), (_, upper) in pairwise(steps):
        increase += upper - lower if upper >= lower else max(upper, 0.0)
    elapsed_s = (steps[-1][0] - steps[0][0]) / 1000
    return {"increase": increase} | ({"rate": increase / elapsed_s} if elapsed_s > 0 else {})

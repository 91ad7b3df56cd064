"""Series over any range: recent windows of the regional stores, before them the history of the integrated one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from pipeline.core.compiled import Array
from pipeline.core.downsampling.curve import (
    LINE,
    CurveSegment,
    SampleTotal,
    StoredChunk,
    clipped,
    segments_of,
    total_of,
)
from pipeline.stores.base import MAX_POINTS, HistoryStore, SeriesPoint, Store, TagSet, check_range

_GAP_TIMES_SPACING = 3
"""Between windows that are further apart than so many usual distances nothing is drawn."""


class ReadFrom(StrEnum):
    """Where a series is read from."""

    AUTO = "auto"
    """Windows from the first one that there is, history before it."""
    REGIONAL = "regional"
    INTEGRATED = "integrated"


@dataclass(frozen=True, slots=True, eq=False)
class SeriesRange:
    """One series in a range.

    Parameters
    ----------
    tags
        Which.
    cut_ms
        Before it everything is decoded history, from it on everything are windows: the two are never mixed.
    history, windows
        The two curves; nothing is drawn between two runs.
    """

    tags: Mapping[str, str]
    cut_ms: int
    history: tuple[CurveSegment, ...]
    windows: tuple[CurveSegment, ...]

    @property
    def runs(self) -> tuple[CurveSegment, ...]:
        """The whole curve: history and windows are joined by a line where they follow each other closely."""
        if not self.history or not self.windows:
            return self.history + self.windows
        last, first = self.history[-1], self.windows[0]
        if first.times_ms[0] - last.until_ms > _GAP_TIMES_SPACING * _spacing(first.times_ms, default_ms=0):
            return self.history + self.windows
        joined = CurveSegment(
            np.concatenate([last.times_ms, first.times_ms]),
            np.concatenate([last.values, first.values]),
            np.concatenate([last.interp, first.interp]),
            first.until_ms,
        )
        return (*self.history[:-1], joined, *self.windows[1:])


@dataclass(frozen=True, slots=True)
class Average:
    """The mean of a series' samples in a range."""

    tags: Mapping[str, str]
    value: float
    count: int
    is_exact: bool
    """False if part of it is estimated from a curve: a chunk lies in the range only in part."""


class SeriesReader:
    """Reads series from all stores of a pipeline.

    Parameters
    ----------
    regional
        The stores of windows: each series is in one of them.
    integrated
        The store of history; none where there is none.
    """

    def __init__(self, regional: Sequence[Store], integrated: HistoryStore | None) -> None:
        self._regional = tuple(regional)
        self._integrated = integrated

    def read(
        self,
        measurement: str,
        field: str,
        *,
        start_ms: int,
        end_ms: int,
        tags: Mapping[str, str] | None = None,
        function: str = "avg",
        source: ReadFrom = ReadFrom.AUTO,
    ) -> list[SeriesRange]:
        """Return the series that have anything in ``[start_ms, end_ms)``, in the order of their tags.

        Parameters
        ----------
        measurement, field, tags
            Which series: those that carry all of the tags.
        start_ms, end_ms
            The range, in UTC milliseconds.
        function
            Of the windows.
        source
            Where from.

        Raises
        ------
        ValueError
            If the range is empty, the function is unknown, the source is not there or there are too many points.
        StoreUnavailable
            If a store does not answer.
        """
        self._check(start_ms, end_ms, source)
        wanted = _Wanted(measurement, field, start_ms, end_ms, tags)
        windows = self._windows(wanted, function) if source is not ReadFrom.INTEGRATED else {}
        chunks = self._chunks(wanted) if source is not ReadFrom.REGIONAL else {}
        found = []
        for series in sorted({*windows, *chunks}):
            recent = windows.get(series, [])
            cut_ms = recent[0].start_ms if recent else end_ms
            history = clipped(segments_of(chunks.get(series, [])), start_ms, cut_ms) if cut_ms > start_ms else []
            if history or recent:
                found.append(SeriesRange(dict(series), cut_ms, tuple(history), tuple(_window_runs(recent))))
        return found

    def averages(
        self,
        measurement: str,
        field: str,
        *,
        start_ms: int,
        end_ms: int,
        tags: Mapping[str, str] | None = None,
        source: ReadFrom = ReadFrom.AUTO,
    ) -> list[Average]:
        """Return the mean of each series' samples in ``[start_ms, end_ms)``, by the same cut as `read`.

        Notes
        -----
        Of history, the chunks' sums and counts are taken; kept points would be biased. Of windows, average times count;
        a window counts where it starts.

        Raises
        ------
        ValueError, StoreUnavailable
            As `read`.
        """
        self._check(start_ms, end_ms, source)
        wanted = _Wanted(measurement, field, start_ms, end_ms, tags)
        windows, counts = (
            self._windows(wanted, function) if source is not ReadFrom.INTEGRATED else {}
            for function in ("avg", "count")
        )
        chunks = self._chunks(wanted) if source is not ReadFrom.REGIONAL else {}
        found = []
        for series in sorted({*windows, *chunks}):
            recent = windows.get(series, [])
            cut_ms = recent[0].start_ms if recent else end_ms
            old = total_of(chunks.get(series, []), start_ms, cut_ms)
            total = _with_windows(old, recent, counts.get(series, []))
            if total.count:
                found.append(Average(dict(series), total.sum / total.count, total.count, total.is_exact))
        return found

    def close(self) -> None:
        """Close all stores; a second call does nothing."""
        for store in (*self._regional, self._integrated):
            if store is not None:
                store.close()

    def _check(self, start_ms: int, end_ms: int, source: ReadFrom) -> None:
        check_range(start_ms, end_ms)
        if source is ReadFrom.INTEGRATED and self._integrated is None:
            raise ValueError("there is no integrated store to read from")
        if source is ReadFrom.REGIONAL and not self._regional:
            raise ValueError("there is no regional store to read from")

    def _chunks(self, wanted: "_Wanted") -> dict[TagSet, list[StoredChunk]]:
        if self._integrated is None:
            return {}
        return self._integrated.chunks(
            wanted.measurement, wanted.field, start_ms=wanted.start_ms, end_ms=wanted.end_ms, tags=wanted.tags
        )

    def _windows(self, wanted: "_Wanted", function: str) -> dict[TagSet, list[SeriesPoint]]:
        found: dict[TagSet, list[SeriesPoint]] = {}
        for store in self._regional:
            for point in _all_points(store, wanted, function):
                found.setdefault(tuple(sorted(point.tags.items())), []).append(point)
        return {series: _in_order(points) for series, points in found.items()}


class _Wanted(NamedTuple):
    measurement: str
    field: str
    start_ms: int
    end_ms: int
    tags: Mapping[str, str] | None


def _all_points(store: Store, wanted: _Wanted, function: str) -> Iterator[SeriesPoint]:
    """Yield a range's points, however many: a query answers `MAX_POINTS`, the oldest first."""
    start_ms = wanted.start_ms
    while True:
        points = store.query_range(
            wanted.measurement, wanted.field, function, start_ms=start_ms, end_ms=wanted.end_ms, tags=wanted.tags
        )
        if len(points) < MAX_POINTS:
            yield from points
            return
        newest_ms = points[-1].start_ms
        if newest_ms == start_ms:
            raise ValueError(f"more than {MAX_POINTS} series match: name some by their tags")
        yield from (point for point in points if point.start_ms < newest_ms)
        start_ms = newest_ms


def _in_order(points: list[SeriesPoint]) -> list[SeriesPoint]:
    """Order a series' windows by time; of two of one time, which two stores have, one counts."""
    return list({point.start_ms: point for point in sorted(points, key=lambda point: point.start_ms)}.values())


def _window_runs(points: Sequence[SeriesPoint]) -> list[CurveSegment]:
    if not points:
        return []
    times = np.array([point.start_ms for point in points], np.int64)
    values = np.array([point.value for point in points])
    ends = np.flatnonzero(np.diff(times) > _GAP_TIMES_SPACING * _spacing(times, default_ms=0)) + 1
    parts = zip(np.split(times, ends), np.split(values, ends), strict=True)
    return [CurveSegment(part, value, np.full(len(part), LINE, np.uint8), int(part[-1])) for part, value in parts]


def _spacing(times_ms: Array, *, default_ms: int) -> float:
    return float(np.median(np.diff(times_ms))) if len(times_ms) > 1 else default_ms


def _with_windows(total: SampleTotal, averages: Sequence[SeriesPoint], counts: Sequence[SeriesPoint]) -> SampleTotal:
    count_at = {point.start_ms: round(point.value) for point in counts}
    weights = [(point.value, count_at.get(point.start_ms, 0)) for point in averages]
    return SampleTotal(
        total.sum + sum(value * count for value, count in weights),
        total.count + sum(count for _, count in weights),
        total.is_exact,
    )

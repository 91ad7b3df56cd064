"""Online anomaly scores: one detector a series, thousands of them scored a batch at a time."""

from collections.abc import Sequence
from datetime import UTC, tzinfo
from enum import IntEnum

import numpy as np

from pipeline.core.anomalies.calendar import calendar
from pipeline.core.anomalies.state import ScorerState, clear, new_state
from pipeline.core.anomalies.step import Scores, report_scores, score_samples
from pipeline.core.compiled import Array

__all__ = ["DEFAULT_DETECTOR", "Reason", "ScoreReporter", "Scores", "SeriesScorer"]

DEFAULT_DETECTOR = "bank"
"""The name of this detector among others, in rules and options."""


class Reason(IntEnum):
    """Why a value is anomalous; the numbers are those that the kernels write."""

    NOTHING = 0
    SPIKE = 1
    DIP = 2
    LEVEL_SHIFT = 3
    UNUSUAL_FOR_THIS_HOUR = 4
    NEVER_SEEN_PATTERN = 5
    FLAT_LINE = 6

    @property
    def text(self) -> str:
        """The reason for a reader; empty for nothing."""
        return "" if self is Reason.NOTHING else self.name.lower().replace("_", " ")


class SeriesScorer:
    """The anomaly scores of many series, each scored by its own detector.

    Parameters
    ----------
    zones : sequence of datetime.tzinfo
        Time zones that series may have; the first is that of a series that is started without one.
    rows : int
        Room to begin with; it grows.

    Notes
    -----
    A sample costs the same whatever came before it: 0.6 microseconds and 3.4 kB of state a series. What a
    series' samples lead to depends on nothing but them, in their order, and its time zone: not on batches, rows or
    other series. A value that is not finite is no sample: it is not learnt, and its score is 0.

    Examples
    --------
    >>> scorer = SeriesScorer()
    >>> times = 60_000 * np.arange(300)
    >>> values = np.where(times == 250 * 60_000, 90.0, times // 60_000 % 7)
    >>> scores = scorer.update(np.zeros(300, np.int64), times, values)
    >>> int(scores.score.argmax()), Reason(scores.reason[250]).text
    (250, 'spike')
    """

    def __init__(self, zones: Sequence[tzinfo] = (UTC,), rows: int = 16) -> None:
        self._zones = list(zones)
        self._calendar = calendar(zones)
        self._state = new_state(rows)
        self._zone = np.zeros(rows, np.int64)

    @property
    def rows(self) -> int:
        """How many rows there is room for."""
        return len(self._zone)

    @property
    def bytes_a_series(self) -> int:
        """What one series takes in memory."""
        return sum(column[:1].nbytes for column in (*self._state, self._zone))

    def add_zone(self, zone: tzinfo) -> int:
        """Return the place of a time zone among those that series may have; a new one is put at the end."""
        if zone not in self._zones:
            self._zones.append(zone)
            self._calendar = calendar(self._zones)
        return self._zones.index(zone)

    def grow(self, rows: int) -> None:
        """Make room for ``rows`` series, those that are there kept."""
        if rows <= self.rows:
            return
        larger = new_state(max(rows, 2 * self.rows))
        for new, old in zip(larger, self._state, strict=True):
            new[: len(old)] = old
        zone = np.zeros(len(larger.number), np.int64)
        zone[: len(self._zone)] = self._zone
        self._state, self._zone = larger, zone

    def start(self, row: int, zone: int = 0) -> None:
        """Begin a series in a row: whatever was there is forgotten.

        Parameters
        ----------
        row : int
            Of the series; there is room made for it.
        zone : int
            Its time zone, by its place in ``zones``.

        Raises
        ------
        IndexError
            If there is no such zone.
        """
        if not 0 <= zone < len(self._zones):
            raise IndexError(f"zone must be 0 to {len(self._zones) - 1}, got {zone}")
        self.grow(row + 1)
        clear(self._state, row)
        self._zone[row] = zone

    def update(self, rows: Array, time_ms: Array, values: Array) -> Scores:
        """Return the score of each sample by what its series was before it; then learn it.

        Parameters
        ----------
        rows : (n,) int64
            The series' rows, below :attr:`rows`; a row may come more than once.
        time_ms : (n,) int64
            Event times, in milliseconds since 1970.
        values : (n,) float64
            The samples, in any unit.

        Returns
        -------
        Scores
            Five columns of n, in the order of the samples.

        Raises
        ------
        ValueError
            If the lengths differ, or a row is out of range.
        """
        rows, time_ms, values = _columns(rows, time_ms, values)
        out = _room(len(rows))
        if not score_samples(rows, time_ms, values, self._zone, self._calendar, self._state, out):
            raise ValueError(f"rows must be 0 to {self.rows - 1}, got {rows.min()} to {rows.max()}")
        return out

    def update_scored(self, rows: Array, raw_scores: Array, time_ms: Array, values: Array) -> Scores:
        """Return the raw scores of other detectors on the common scale, each by those before it; then learn them.

        Parameters
        ----------
        rows, time_ms, values
            As in :meth:`update`.
        raw_scores : (n,) float64
            What another detector said of each sample: greater is more anomalous, below 0 as 0; not finite: no sample.

        Returns
        -------
        Scores
            Five columns of n; the expected band is not known.

        Raises
        ------
        ValueError
            If the lengths differ, or a row is out of range.
        """
        rows, time_ms, values = _columns(rows, time_ms, values)
        raw_scores = np.ascontiguousarray(raw_scores, np.float64)
        if len(raw_scores) != len(values):
            raise ValueError(f"scores must be as many as values, got {len(raw_scores)} and {len(values)}")
        out = _room(len(values))
        if not report_scores(rows, raw_scores, time_ms, values, self._zone, self._calendar, self._state, out):
            raise ValueError(f"rows must be 0 to {self.rows - 1}, got {rows.min()} to {rows.max()}")
        return out

    def live(self, rows: int) -> ScorerState:
        """Return the live state of the first rows, not copied: it goes on changing."""
        return ScorerState(*(column[:rows] for column in self._state))

    def snapshot(self, rows: Array) -> ScorerState:
        """Return a copy of the state of some series.

        Parameters
        ----------
        rows : (n,) int64
            Their rows.
        """
        return ScorerState(*(column[rows].copy() for column in self._state))

    def restore(self, rows: Array, state: ScorerState) -> None:
        """Set some series to a state that :meth:`snapshot` returned; there is room made for them.

        Parameters
        ----------
        rows : (n,) int64
            Their rows.
        state : ScorerState
            Of n series.

        Raises
        ------
        ValueError
            If an array's shape or type is not that of the state of as many series.
        """
        if len(rows):
            self.grow(int(np.max(rows)) + 1)
        for name, mine, given in zip(ScorerState._fields, self._state, state, strict=True):
            expected = (len(rows), *mine.shape[1:])
            if given.shape != expected or given.dtype != mine.dtype:
                raise ValueError(f"{name} must be {mine.dtype}{expected}, got {given.dtype}{given.shape}")
        for mine, given in zip(self._state, state, strict=True):
            mine[rows] = given


class ScoreReporter:
    """Turns the raw scores of any detector of one series into scores on the common scale.

    Parameters
    ----------
    zone : datetime.tzinfo
        Time zone of the series.
    """

    def __init__(self, zone: tzinfo = UTC) -> None:
        self._scorer = SeriesScorer((zone,), rows=1)

    def update(self, raw_scores: Array, time_ms: Array, values: Array) -> Scores:
        """Return raw scores on the common scale, as :meth:`SeriesScorer.update_scored` does."""
        return self._scorer.update_scored(np.zeros(len(values), np.int64), raw_scores, time_ms, values)


def _columns(rows: Array, time_ms: Array, values: Array) -> tuple[Array, Array, Array]:
    columns = (
        np.ascontiguousarray(rows, np.int64),
        np.ascontiguousarray(time_ms, np.int64),
        np.ascontiguousarray(values, np.float64),
    )
    if not len(columns[0]) == len(columns[1]) == len(columns[2]):
        lengths = ", ".join(str(len(column)) for column in columns)
        raise ValueError(f"rows, time_ms and values must be of one length, got {lengths}")
    return columns


def _room(size: int) -> Scores:
    return Scores(np.empty(size), np.empty(size, np.int8), np.empty(size, np.int8), np.empty(size), np.empty(size))

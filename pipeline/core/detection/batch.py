"""Values of many series scored at once, and which of the scores are reported."""

import math
from typing import NamedTuple

import numpy as np

from pipeline.core.anomalies.scorer import Reason, Scores, SeriesScorer
from pipeline.core.anomalies.step import WARN_SCORE
from pipeline.core.compiled import Array
from pipeline.core.detection.series import WatchedSeries
from schemas.severity import Severity


class Window(NamedTuple):
    """A window with values in a batch."""

    start_ms: int
    end_ms: int
    offset: int
    """Of its record."""
    values: int
    """How many values it has in the batch."""
    is_sampled: bool
    """Whether its scores are written in any case."""


class Scored(NamedTuple):
    """A value whose score is reported."""

    position: int
    """Of the value in the batch."""
    series: WatchedSeries
    value: float
    window: Window
    score: float
    level: Severity
    reason: Reason | None
    """None where it is not anomalous."""
    low: float
    """The expected band, NaN where it is not known."""
    high: float


class Batch:
    """Values that wait to be scored together, and the windows that they are of, in their order."""

    def __init__(self) -> None:
        self._series: list[WatchedSeries] = []
        self._rows: list[int] = []
        self._values: list[float] = []
        self._named: list[int] = []
        self._windows: list[Window] = []

    def __len__(self) -> int:
        """Return how many values there are."""
        return len(self._rows)

    def add(self, series: WatchedSeries, value: float) -> None:
        """Add a value of the next window."""
        if series.named is not None:
            self._named.append(len(self._rows))
        self._series.append(series)
        self._rows.append(series.row)
        self._values.append(value)

    def end_window(self, window: Window) -> None:
        """Say which window the values since the last one were of."""
        self._windows.append(window)

    def score(self, scorer: SeriesScorer) -> list[Scored]:
        """Score all values and learn them; return what is anomalous or sampled."""
        if not self._rows:
            return []
        counts = np.array([window.values for window in self._windows])
        scores = self._scores(scorer, np.repeat([window.start_ms for window in self._windows], counts))
        is_sampled = np.repeat([window.is_sampled for window in self._windows], counts)
        window_of = np.repeat(np.arange(len(counts)), counts)
        wanted = np.flatnonzero((scores.level > Severity.NORMAL) | is_sampled).tolist()
        scored = (self._scored(i, self._windows[window_of[i]], scores) for i in wanted)
        return [each for each in scored if each.reason is not None or each.window.is_sampled]

    def _scores(self, scorer: SeriesScorer, times: Array) -> Scores:
        rows, values = np.array(self._rows, np.int64), np.array(self._values)
        named = np.array(self._named, np.int64)
        values[named] = math.nan  # no sample for the scorer
        scores = scorer.update(rows, times, values)
        if len(named):
            raw_scores = [_raw_score(self._series[i], self._values[i]) for i in self._named]
            values[named] = [self._values[i] for i in self._named]
            found = scorer.update_scored(rows[named], np.array(raw_scores), times[named], values[named])
            for column, of_named in zip(scores, found, strict=True):
                column[named] = of_named
        return scores

    def _scored(self, i: int, window: Window, scores: Scores) -> Scored:
        score, reported, reason, low, high = (column[i].item() for column in scores)
        series = self._series[i]
        level = level_of(score, reported, series.watch.levels)
        why = None if level is Severity.NORMAL else Reason(reason)
        return Scored(i, series, self._values[i], window, score, level, why, low, high)


def level_of(score: float, reported: int, levels: tuple[float, float, float]) -> Severity:
    """Return the level of a score by a rule, or the scorer's own where that is lower because the series is young.

    Parameters
    ----------
    score : float
        Of the value.
    reported : int
        Its level as the scorer has it.
    levels : tuple of float
        From which scores on it is info, warn, critical: none below the scorer's own for info.

    Examples
    --------
    >>> [level_of(2.2, reported, (1.5, 2.0, 2.5)).name for reported in (1, 2)]
    ['INFO', 'WARN']
    """
    reached = sum(score >= least for least in levels) if reported else 0
    is_young = reported == Severity.INFO and score >= WARN_SCORE
    return Severity(min(reached, Severity.INFO) if is_young else reached)


def _raw_score(series: WatchedSeries, value: float) -> float:
    return math.nan if series.named is None else series.named.score(value)

"""Values of many series judged at once, and what is to be told of them."""

import math
from typing import NamedTuple

import numpy as np

from pipeline.core.anomalies.scorer import AnomalyBank, Level, Reason, Verdicts
from pipeline.core.anomalies.step import WARN_SCORE
from pipeline.core.detection.series import Series
from pipeline.core.records.identity.interning import Array


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


class Judged(NamedTuple):
    """A value that is to be told."""

    position: int
    """Of the value in the batch."""
    series: Series
    value: float
    window: Window
    score: float
    level: Level
    reason: str | None
    """None where it is not anomalous."""
    low: float
    """The expected band, NaN where it is not known."""
    high: float


class Batch:
    """Values that wait to be judged together, and the windows that they are of, in their order."""

    def __init__(self) -> None:
        self._series: list[Series] = []
        self._rows: list[int] = []
        self._values: list[float] = []
        self._named: list[int] = []
        self._windows: list[Window] = []

    def __len__(self) -> int:
        """Return how many values there are."""
        return len(self._rows)

    def add(self, series: Series, value: float) -> None:
        """Add a value of the next window."""
        if series.named is not None:
            self._named.append(len(self._rows))
        self._series.append(series)
        self._rows.append(series.row)
        self._values.append(value)

    def end_window(self, window: Window) -> None:
        """Say which window the values since the last one were of."""
        self._windows.append(window)

    def judge(self, bank: AnomalyBank) -> list[Judged]:
        """Judge all values and learn them; give what is anomalous or sampled."""
        if not self._rows:
            return []
        counts = np.array([window.values for window in self._windows])
        verdicts = self._verdicts(bank, np.repeat([window.start_ms for window in self._windows], counts))
        is_sampled = np.repeat([window.is_sampled for window in self._windows], counts)
        window_of = np.repeat(np.arange(len(counts)), counts)
        wanted = np.flatnonzero((verdicts.level > Level.NORMAL) | is_sampled).tolist()
        judged = (self._judged(i, self._windows[window_of[i]], verdicts) for i in wanted)
        return [each for each in judged if each.reason is not None or each.window.is_sampled]

    def _verdicts(self, bank: AnomalyBank, times: Array) -> Verdicts:
        rows, values = np.array(self._rows, np.int64), np.array(self._values)
        named = np.array(self._named, np.int64)
        values[named] = math.nan  # no sample for the bank
        verdicts = bank.update(rows, times, values)
        if len(named):
            scores = [_scored(self._series[i], self._values[i]) for i in self._named]
            values[named] = [self._values[i] for i in self._named]
            found = bank.update_scored(rows[named], np.array(scores), times[named], values[named])
            for column, of_named in zip(verdicts, found, strict=True):
                column[named] = of_named
        return verdicts

    def _judged(self, i: int, window: Window, verdicts: Verdicts) -> Judged:
        score, told, reason, low, high = (column[i].item() for column in verdicts)
        series = self._series[i]
        level = level_of(score, told, series.watch.levels)
        text = None if level is Level.NORMAL else Reason(reason).text
        return Judged(i, series, self._values[i], window, score, level, text, low, high)


def level_of(score: float, told: int, levels: tuple[float, float, float]) -> Level:
    """Give the level of a score by a rule, or what the bank says of it where that is lower: the series is young.

    Parameters
    ----------
    score : float
        Of the value.
    told : int
        Its level as the bank has it.
    levels : tuple of float
        From which scores on it is info, warn, critical: none below the bank's own for info.

    Examples
    --------
    >>> [level_of(2.2, told, (1.5, 2.0, 2.5)).name for told in (1, 2)]
    ['INFO', 'WARN']
    """
    reached = sum(score >= least for least in levels) if told else 0
    is_young = told == Level.INFO and score >= WARN_SCORE
    return Level(min(reached, Level.INFO) if is_young else reached)


def _scored(series: Series, value: float) -> float:
    return math.nan if series.named is None else series.named.score(value)

"""Series of the Numenta Anomaly Benchmark, and its way to score detectors."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
MISSED = {"standard": 1.0, "reward_low_FP_rate": 1.0, "reward_low_FN_rate": 2.0}
"""What a missed window costs, by profile."""
_DATA = Path(__file__).parent / "data" / "nab"


@dataclass(frozen=True)
class LabelledSeries:
    """One file of the benchmark.

    Parameters
    ----------
    name
        Group and file.
    time_ms, value
        int64 and float64: its rows.
    window
        The label window of each row; -1 none, -2 probation, which is not scored.
    weight
        By profile: the official weight of a detection at each row.
    windows, labelled_windows
        How many windows there are, and how many the benchmark's null detector misses.
    """

    name: str
    time_ms: Array
    value: Array
    window: Array
    weight: dict[str, Array]
    windows: int
    labelled_windows: int

    @property
    def group(self) -> str:
        """The kind of source."""
        return self.name.partition("/")[0]

    @property
    def days(self) -> float:
        """From the first row to the last."""
        return float(self.time_ms[-1] - self.time_ms[0]) / 86_400_000


def load() -> list[LabelledSeries]:
    meta = json.loads((_DATA / "series.json").read_text())
    with np.load(_DATA / "series.npz") as arrays:
        return [
            LabelledSeries(
                name,
                arrays[f"{about['index']}_ts"].astype(np.int64) * 1000,
                arrays[f"{about['index']}_v"].astype(np.float64),
                arrays[f"{about['index']}_wid"],
                {profile: arrays[f"{about['index']}_sw_{profile}"] for profile in MISSED},
                about["windows"],
                about["labelled_windows"],
            )
            for name, about in meta.items()
        ]


def nab_score(
    series: Sequence[LabelledSeries], scores: Sequence[Array], profile: str, threshold: float | None = None
) -> tuple[float, float]:
    """Return the score, 0 for a detector that says nothing to 100 for a perfect one, and its threshold.

    A window counts once, with its best detection. The threshold is one for all series; the best, unless it is given.
    """
    missed = MISSED[profile]
    windows, found, weights = _flattened(series, scores, profile)
    best = np.full(sum(one.windows for one in series), -missed)
    null = total = -missed * len(best)
    top, top_threshold = (total, np.inf) if threshold is None else (-np.inf, threshold)
    order = np.argsort(-found, kind="stable")
    for place, i in enumerate(order):
        if threshold is not None and found[i] < threshold:
            break
        if windows[i] < 0:
            total += weights[i]
        elif weights[i] > best[windows[i]]:
            total += weights[i] - best[windows[i]]
            best[windows[i]] = weights[i]
        last_of_score = place + 1 == len(order) or found[order[place + 1]] != found[i]
        if threshold is None and last_of_score and total > top:
            top, top_threshold = total, float(found[i])
    if threshold is not None:
        top = total
    perfect = sum(one.labelled_windows for one in series)
    return 100 * (top - null) / (perfect - null), top_threshold


def _flattened(series: Sequence[LabelledSeries], scores: Sequence[Array], profile: str) -> tuple[Array, Array, Array]:
    """Return window, score and weight of all rows that are scored, the windows numbered through."""
    columns: list[tuple[Array, Array, Array]] = []
    first = 0
    for one, score in zip(series, scores, strict=True):
        kept = one.window != -2
        window = one.window[kept].astype(np.int64)
        columns.append((np.where(window >= 0, window + first, -1), score[kept], one.weight[profile][kept]))
        first += one.windows
    windows, found, weights = (np.concatenate(column) for column in zip(*columns, strict=True))
    return windows, found, weights


@dataclass(frozen=True)
class Alerting:
    """What an operator would have had: the share of windows found, false alerts a series and day, the delay."""

    recall: float
    false_a_day: float
    median_delay_h: float


def alerting(series: Sequence[LabelledSeries], scores: Sequence[Array], threshold: float) -> Alerting:
    delays = []
    false = 0
    for one, score in zip(series, scores, strict=True):
        on = (score >= threshold) & (one.window != -2)
        false += int((on & (one.window == -1)).sum())
        for window in np.unique(one.window[on & (one.window >= 0)]):
            first = one.time_ms[one.window == window][0]
            delays.append(float(one.time_ms[on & (one.window == window)][0] - first) / 3_600_000)
    windows = sum(one.windows for one in series)
    days = sum(one.days for one in series)
    return Alerting(len(delays) / windows, false / days, float(np.median(delays)) if delays else np.nan)


def threshold_at(series: Sequence[LabelledSeries], scores: Sequence[Array], false_a_day: float) -> float:
    """Return the least threshold at which there are no more false alerts a series and day than that."""
    allowed = int(false_a_day * sum(one.days for one in series))
    false = np.sort(np.concatenate([s[(one.window == -1)] for one, s in zip(series, scores, strict=True)]))[::-1]
    return float(np.nextafter(false[allowed], np.inf))

"""Series that nothing is wrong with, and eight kinds of faults to put into them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bench.nab_series import Array, load

KINDS = ("spike", "dip", "shift", "drift", "flat", "low", "noise", "shape")
STEP_S = 300
DAY = 86_400 // STEP_S
LONGEST = DAY + 48
"""Samples of a fault and of what follows it."""
_COUNT = 14 * DAY
_START_S = 1_780_012_800  # midnight
_OF_A_KIND = 3


@dataclass(frozen=True)
class CleanSeries:
    """A series, and where it is known to be in order.

    Parameters
    ----------
    name
        Of the file, or of what was made.
    time_ms, value
        int64 and float64.
    clean
        bool: rows on which an alert is a false one.
    """

    name: str
    time_ms: Array
    value: Array
    clean: Array

    @property
    def days(self) -> float:
        """Days of clean rows."""
        return float(self.time_ms[-1] - self.time_ms[0]) / 86_400_000 * float(self.clean.mean())


@dataclass(frozen=True)
class Fault:
    """A fault in a series.

    Parameters
    ----------
    kind
        One of ``KINDS``.
    start
        Its first row.
    value
        What the series is from there on; an alert on any of these rows finds the fault.
    """

    kind: str
    start: int
    value: Array


def clean_series(*, real: bool, seed: int = 0) -> list[CleanSeries]:
    """Return the benchmark's real series without their label windows, or series made like eight kinds of metrics.

    Other seeds make other series of the same kinds.
    """
    if real:
        files = [one for one in load() if one.group.startswith("real")]
        return [CleanSeries(one.name, one.time_ms, one.value, one.window == -1) for one in files]
    after_start = np.arange(_COUNT) >= 600
    time_ms = (_START_S + STEP_S * np.arange(_COUNT)) * 1000
    return [
        CleanSeries(f"{kind} {k}", time_ms, _made(kind, np.random.default_rng(1000 * (1 + seed) + k)), after_start)
        for kind in ("cpu", "requests", "bytes", "memory", "pressure", "job", "count", "idle")
        for k in range(_OF_A_KIND)
    ]


def _made(kind: str, rng: np.random.Generator) -> Array:
    """Return two weeks of a metric of a kind."""
    i = np.arange(_COUNT)
    weekday = i // DAY % 7
    day = np.exp(3 * (np.cos(2 * np.pi * (i / DAY - rng.uniform())) - 1))
    load = day * np.where(weekday >= 5, rng.uniform(0.3, 0.9), 1)
    made: dict[str, Callable[[], Array]] = {
        "cpu": lambda: 20 + 50 * load + rng.normal(0, 3, _COUNT),
        "requests": lambda: rng.poisson(np.maximum(3, 200 * load)) * rng.gamma(8, 1 / 8, _COUNT),
        "bytes": lambda: 1000 * np.exp(rng.normal(0, 0.6, _COUNT) + load),
        "memory": lambda: 40 + np.cumsum(rng.normal(0, 0.05, _COUNT)) + 5 * (i % 700) / 700,
        "pressure": lambda: 50 + 3 * np.array(list(_persistent(rng.normal(0, 1, _COUNT)))),
        "job": lambda: (
            rng.exponential(1, _COUNT) + np.where((i + rng.integers(12)) % 36 == 0, rng.normal(20, 2, _COUNT), 0)
        ),
        "count": lambda: rng.poisson(2 + 4 * day).astype(float),
        "idle": lambda: (
            0.1 * rng.integers(0, 4, _COUNT) + (rng.uniform(size=_COUNT) < 0.02) * rng.exponential(3, _COUNT)
        ),
    }
    return made[kind]()


def _persistent(noise: Array) -> Iterator[float]:
    level = 0.0
    for one in noise:
        level = 0.95 * level + one
        yield level


def faults(series: CleanSeries, rng: np.random.Generator, of_each: int) -> list[Fault]:
    """Return faults of every kind at random places of the series' later two thirds."""
    rows = range(int(0.35 * len(series.value)), len(series.value) - LONGEST)
    free = [row for row in rows if series.clean[row - 50 : row + LONGEST].all()]
    if not free:
        return []
    found = []
    for kind in KINDS:
        for _ in range(of_each):
            start = int(rng.choice(free))
            if kind != "shape" or _has_daily_shape(series, start):
                found.append(Fault(kind, start, _broken(kind, series.value, start, rng)))
    return found


def _broken(kind: str, value: Array, start: int, rng: np.random.Generator) -> Array:
    """Return the rows from ``start`` with a fault, its size in ranges (5 % to 95 %) of the week before."""
    past = value[max(0, start - 7 * DAY) : start]
    least, low, middle, high, most = np.quantile(past, [0.01, 0.05, 0.5, 0.95, 0.99])
    size = max(high - low, 1e-9)
    after = value[start : start + LONGEST].copy()
    sign = rng.choice((-1, 1))
    length = {"spike": rng.integers(1, 4), "dip": rng.integers(1, 4), "low": rng.integers(24, DAY // 2)}.get(
        kind, {"shift": DAY // 2, "drift": DAY, "flat": DAY // 2, "noise": DAY // 4, "shape": DAY}.get(kind, 0)
    )
    part = after[: length + 24]
    match kind:
        case "spike":
            part[:length] = max(most, part[0]) + size * rng.uniform(0.5, 2.0)
        case "dip":
            part[:length] = min(least, part[0]) - size * rng.uniform(0.5, 2.0)
        case "shift":
            part += sign * size * rng.uniform(0.5, 1.5)
        case "drift":
            part += sign * size * rng.uniform(1.0, 2.0) * np.minimum(np.arange(len(part)) / DAY, 1)
        case "flat":
            part[:length] = part[0]
        case "low":
            part[:length] = least + 0.02 * (rng.choice(past, length) - middle)
        case "noise":
            part[:length] += rng.normal(0, size, length)
        case _:
            steps = np.diff(value[start - length - 1 : start]) / np.sqrt(2)
            part[:length] = middle + rng.permutation(steps)
    return part


def _has_daily_shape(series: CleanSeries, start: int) -> bool:
    """Return whether the hour explains a third of the variance of the week before."""
    past = slice(max(0, start - 7 * DAY), start)
    hour = series.time_ms[past] // 3_600_000 % 24
    value = series.value[past]
    by_hour = np.array([value[hour == h].mean() if (hour == h).any() else value.mean() for h in range(24)])[hour]
    return bool(value.var() > 0 and by_hour.var() > 0.35 * value.var())

"""The series that down-sampling is measured on, and how what is restored of them is measured."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.nab_series import load

Array = np.ndarray[Any, Any]
_NODE = Path(__file__).parent / "data" / "node" / "series.npz"


@dataclass(frozen=True)
class Series:
    """One series: its times in milliseconds, its values, and whether it is a counter."""

    name: str
    time_ms: Array
    value: Array
    counter: bool = False

    @property
    def signal(self) -> Array:
        """What is measured: the values, of a counter the increases from sample to sample."""
        return measured_of(self.value, counter=self.counter)


def nab() -> list[Series]:
    """Return the infrastructure series of the Numenta Anomaly Benchmark."""
    return [Series(one.name, one.time_ms, one.value) for one in load()]


def node() -> list[Series]:
    """Return the metrics of a node at 1 s."""
    found = []
    with np.load(_NODE) as arrays:
        time_ms = np.cumsum(arrays["time_ms"])
        for name in arrays.files:
            stored = arrays[name]
            if name != "time_ms":
                values = np.cumsum(stored).astype(float) if stored.dtype.kind == "i" else stored
                found.append(Series(name, time_ms, values, _is_counter(values)))
    return found


def made(length: int = 7200, seed: int = 0) -> list[Series]:
    """Return series made to be difficult for one method or another."""
    random = np.random.default_rng(seed)
    at = np.arange(length)
    drifting = np.zeros(length)
    for i in range(1, length):
        drifting[i] = 0.97 * drifting[i - 1] + random.normal()
    values = {
        "sine": 50 + 30 * np.sin(at / 300) + random.normal(0, 1, length),
        "noise": random.normal(50, 5, length),
        "walk": np.cumsum(random.normal(0, 1, length)),
        "spikes": 10 + random.normal(0, 1, length) + (random.random(length) < 0.005) * random.uniform(30, 100, length),
        "constant": np.full(length, 7.0),
        "steps": np.repeat(random.integers(0, 20, length // 60), 60).astype(float),
        "on and off": (np.cumsum(random.random(length) < 0.01) % 2).astype(float),
        "drifting": np.round(30 + 5 * drifting, 2),
        "sawtooth": at % 500 + random.normal(0, 1, length),
        "counter": np.cumsum(random.poisson(100 * (1 + np.sin(at / 400)) + (random.random(length) < 0.01) * 5000)),
        "slow counter": np.cumsum(random.poisson(3, length)),
    }
    time_ms = 1_780_000_000_000 + 1000 * at
    return [Series(name, time_ms, series.astype(float), counter="counter" in name) for name, series in values.items()]


def measured_of(values: Array, *, counter: bool) -> Array:
    """Return what is measured of values: themselves, or a counter's increases; after a reset it grew from zero."""
    if not counter:
        return values
    increase = np.diff(values)
    return np.where(increase < 0, values[1:], increase)


@dataclass(frozen=True)
class Score:
    """How good restored values are, each in parts of the raw range."""

    error: float
    """Root of the mean squared difference."""
    extremes: float
    """Share of the greatest and least 1 % that is there within 1 sample and 2 % of the range."""
    p99_error: float
    """Difference of the 99 % quantiles."""


def score(series: Series, restored: Array) -> Score:
    """Return how good what was restored of a series is."""
    raw, got = series.signal, measured_of(restored, counter=series.counter)
    span = float(np.ptp(raw))
    if span == 0:
        return Score(0.0, 1.0, 0.0) if np.array_equal(raw, got) else Score(1.0, 0.0, 1.0)
    count = max(1, round(0.01 * len(raw)))
    order = np.argsort(raw, kind="stable")
    extreme = np.concatenate([order[:count], order[-count:]])
    near = np.stack([got[np.clip(extreme + shift, 0, len(raw) - 1)] for shift in (-1, 0, 1)])
    found = (np.abs(near - raw[extreme]) <= 0.02 * span).any(axis=0)
    return Score(
        error=float(np.sqrt(np.mean((raw - got) ** 2))) / span,
        extremes=float(found.mean()),
        p99_error=abs(float(np.quantile(raw, 0.99) - np.quantile(got, 0.99))) / span,
    )


def _is_counter(values: Array) -> bool:
    change = np.diff(values)
    return bool((values == np.round(values)).all() and (change >= 0).all() and np.count_nonzero(change) > 1)

"""Faults put into clean series, and how many of them the scorer finds: ``python -m bench.faults [SEED...]``.

A seed other than 0 puts them elsewhere, and into other made series: what was tried on one is measured on others.
"""

import sys
from dataclasses import dataclass

import numpy as np

from bench.fault_series import KINDS, CleanSeries, Fault, clean_series, faults
from bench.nab_series import Array
from pipeline.core.anomalies.scorer import SeriesScorer

FALSE_A_DAY = 0.025
_ENOUGH = 20
"""Faults of a kind below which their share would say nothing."""


@dataclass(frozen=True)
class Found:
    """What the scorer did on some series.

    Parameters
    ----------
    threshold
        The least score at which there are no more false alerts a series and day than ``FALSE_A_DAY``.
    share
        Of the faults that were found at it, by kind.
    """

    threshold: float
    share: dict[str, float]

    @property
    def mean(self) -> float:
        """The mean over the kinds."""
        return float(np.mean(list(self.share.values())))


def measure(series: list[CleanSeries], seed: int = 0, of_each: int = 5) -> Found:
    """Put faults into each series, by themselves, and count those that are found."""
    scores: list[Array] = []
    greatest: list[tuple[str, float]] = []
    for number, one in enumerate(series):
        put = sorted(faults(one, np.random.default_rng(number + 1000 * seed), of_each), key=lambda fault: fault.start)
        clean, found = _scored(one, put)
        scores.append(clean[one.clean])
        greatest += zip((fault.kind for fault in put), found, strict=True)
    allowed = int(FALSE_A_DAY * sum(one.days for one in series))
    threshold = float(np.nextafter(np.sort(np.concatenate(scores))[::-1][allowed], np.inf))
    kinds = [kind for kind in KINDS if [other for other, _ in greatest].count(kind) >= _ENOUGH]
    return Found(
        threshold,
        {k: float(np.mean([score >= threshold for kind, score in greatest if kind == k])) for k in kinds},
    )


def _scored(series: CleanSeries, put: list[Fault]) -> tuple[Array, list[float]]:
    """Return the scores of the clean series, and the greatest in each fault, which only its own detector sees."""
    scorer = SeriesScorer(rows=2)
    clean = np.zeros(len(series.value))
    greatest = []
    at = 0
    for fault in [*put, None]:
        until = len(clean) if fault is None else fault.start
        clean[at:until] = scorer.update(
            np.zeros(until - at, np.int64), series.time_ms[at:until], series.value[at:until]
        ).score
        at = until
        if fault is not None:
            scorer.restore(np.array([1]), scorer.snapshot(np.array([0])))
            rows = np.ones(len(fault.value), np.int64)
            times = series.time_ms[at : at + len(rows)]
            greatest.append(float(scorer.update(rows, times, fault.value).score.max()))
    return clean, greatest


def main() -> None:
    for seed in map(int, sys.argv[1:] or ["0"]):
        for name, real in (("real", True), ("made", False)):
            found = measure(clean_series(real=real, seed=seed), seed)
            kinds = "  ".join(f"{kind} {share:.2f}" for kind, share in found.share.items())
            print(f"{name} series: found {found.mean:.2f} at {found.threshold:.2f}: {kinds}")


if __name__ == "__main__":
    main()

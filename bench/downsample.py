"""Adaptive down-sampling beside other methods at equal stored points: ``python -m bench.downsample [RATIO]``.

A table for each group of series: what is stored, the error in parts of the range (mean and median over the series), the
share of extremes kept, the error of the 99 % quantile, and million points a second and core.
"""

import os
import platform
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from bench.downsample_methods import METHODS, Restored
from bench.downsample_series import Score, Series, made, nab, node, score
from pipeline.core.downsampling.whole_series import downsample_series, restore, rules_of_file

RATIO = 0.1


def adaptive(series: Series, ratio: float) -> Restored:
    """Return what our own engine gives back of a series."""
    chunks = downsample_series(series.time_ms, series.value, rules_of_file(ratio, 360))
    return restore(chunks, series.time_ms), sum(chunk.n_kept for chunk in chunks)


def row(name: str, group: Sequence[Series], results: Sequence[Restored], seconds: float) -> str:
    """Return a line of the table."""
    scores: list[Score] = [score(one, restored) for one, (restored, _) in zip(group, results, strict=True)]
    errors = [one.error for one in scores]
    samples = sum(len(one.value) for one in group)
    stored = np.mean([points / len(one.value) for one, (_, points) in zip(group, results, strict=True)])
    return (
        f"{name:18s} {stored:7.2%} {np.mean(errors):8.4f} {np.median(errors):8.4f}"
        f" {np.mean([one.extremes for one in scores]):9.3f} {np.mean([one.p99_error for one in scores]):8.4f}"
        f" {samples / seconds / 1e6:9.2f}"
    )


def timed(work: Callable[[], list[Restored]]) -> tuple[list[Restored], float]:
    began = time.process_time()
    return work(), time.process_time() - began


def table(group: Sequence[Series], ratio: float) -> list[str]:
    """Return the lines of a group: ours, and each other method at the points that ours kept of each series."""
    adaptive(group[0], ratio)  # what is compiled once
    ours, seconds = timed(lambda: [adaptive(one, ratio) for one in group])
    lines = [row("adaptive", group, ours, seconds)]
    for name, method in METHODS.items():
        results, seconds = timed(
            lambda method=method: [
                method(one.time_ms, one.value, max(2, points)) for one, (_, points) in zip(group, ours, strict=True)
            ]
        )
        lines.append(row(name, group, results, seconds))
    return lines


def main() -> None:
    ratio = float(sys.argv[1]) if len(sys.argv) > 1 else RATIO
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name, group in (("infrastructure (NAB)", nab()), ("node at 1 s", node()), ("made", made())):
        print(f"\n{name}: {len(group)} series, {sum(len(one.value) for one in group):,} samples, ratio {ratio:g}")
        print(f"{'method':18s} {'stored':>7s} {'error':>8s} {'median':>8s} {'extremes':>9s} {'p99':>8s} {'M/s':>9s}")
        for line in table(group, ratio):
            print(line)


if __name__ == "__main__":
    main()

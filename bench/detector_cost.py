"""What a sample and a series cost the scorer: ``python -m bench.detector_cost``.

Each series gets a sample a batch, as when the windows of a cycle close together. The state of 100,000 series is much
larger than any cache.
"""

import time

import numpy as np

from pipeline.core.anomalies.scorer import SeriesScorer

_WARM_UP = 300
_SAMPLES = 2_000_000


def measured(series: int) -> tuple[float, int]:
    """Return CPU microseconds a sample, and bytes a series."""
    scorer = SeriesScorer(rows=series)
    rows = np.arange(series)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (64, series)) + rng.normal(50, 20, series)
    batches = max(_SAMPLES // series, 20)
    before = min(_WARM_UP, 3_000_000 // series + 130)
    times = np.full(series, 1_780_000_000_000)
    began = 0.0
    samples = list(noise)
    for k in range(before + batches):
        if k == before:
            began = time.process_time()
        times += 60_000
        scorer.update(rows, times, samples[k % 64])
    return (time.process_time() - began) / (batches * series) * 1e6, scorer.bytes_a_series


def main() -> None:
    print("  series  us/sample  bytes/series")
    for series in (10, 100, 1000, 10_000, 100_000):
        cost_us, size = measured(series)
        print(f"{series:8,d}  {cost_us:9.2f}  {size:12,d}")


if __name__ == "__main__":
    main()

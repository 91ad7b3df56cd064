"""The detectors on the Numenta Anomaly Benchmark: ``python -m bench.nab [DETECTOR...]``.

A table of the benchmark's scores for its three profiles, the same with each group of files at the threshold of the
others, what an operator would have had at .025 false alerts a series and day, and the cost of a sample.
"""

import sys
import time
from collections.abc import Sequence

from bench.nab_series import MISSED, Array, LabelledSeries, alerting, load, nab_score, threshold_at
from pipeline.core.anomalies.detectors import DEFAULT_DETECTOR, DETECTORS, score_series

FALSE_A_DAY = 0.025


def scored(name: str, series: Sequence[LabelledSeries]) -> tuple[list[Array], float]:
    """Return the scores of a detector, and microseconds a sample."""
    score_series(name, series[0].time_ms[:200], series[0].value[:200])  # what is compiled or loaded once
    began = time.process_time()
    scores = [score_series(name, one.time_ms, one.value).score for one in series]
    return scores, (time.process_time() - began) / sum(map(len, scores)) * 1e6


def at_threshold_of_others(series: Sequence[LabelledSeries], scores: Sequence[Array], profile: str) -> float:
    """Return the score when each group of files is scored at the threshold that is best for the other groups."""
    total = 0.0
    groups = {one.group.replace("artificialNo", "artificialWith") for one in series}
    for group in groups:
        inside = [one.group.replace("artificialNo", "artificialWith") == group for one in series]
        others = [i for i, mine in enumerate(inside) if not mine]
        own = [i for i, mine in enumerate(inside) if mine]
        _, threshold = nab_score([series[i] for i in others], [scores[i] for i in others], profile)
        score, _ = nab_score([series[i] for i in own], [scores[i] for i in own], profile, threshold)
        total += score * sum(series[i].labelled_windows for i in own)
    return total / sum(one.labelled_windows for one in series)


def main() -> None:
    series = load()
    print(f"{len(series)} series, {sum(len(one.value) for one in series):,} samples, ", end="")
    print(f"{sum(one.windows for one in series)} windows, {sum(one.days for one in series):.0f} series-days")
    print(
        "detector                   standard / low FP / low FN   by groups            recall  delay h  at    us/sample"
    )
    for name in sys.argv[1:] or (DEFAULT_DETECTOR, *DETECTORS):
        scores, cost_us = scored(name, series)
        best = " / ".join(f"{nab_score(series, scores, profile)[0]:5.1f}" for profile in MISSED)
        apart = " / ".join(f"{at_threshold_of_others(series, scores, profile):5.1f}" for profile in MISSED)
        threshold = threshold_at(series, scores, FALSE_A_DAY)
        had = alerting(series, scores, threshold)
        practical = f"{had.recall:.3f}  {had.median_delay_h:7.1f}  {threshold:.2f}"
        print(f"{name:26s} {best}        {apart}  {practical}  {cost_us:9.2f}")


if __name__ == "__main__":
    main()

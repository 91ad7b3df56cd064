"""The benchmark's scoring, on cases small enough to do by hand, and the figures that the bank must not fall below."""

import numpy as np
import pytest

from bench.fault_series import clean_series
from bench.faults import measure
from bench.nab import FALSE_A_DAY, scored
from bench.nab_series import MISSED, LabelledSeries, alerting, load, nab_score, threshold_at


def one_window() -> LabelledSeries:
    """Eight rows, the first on probation, a window at rows 3 to 5."""
    weight = np.array([0.0, -0.1, -0.1, 1.0, 0.9, 0.5, -0.1, -0.1])
    return LabelledSeries(
        "group/file",
        3_600_000 * np.arange(8),
        np.zeros(8),
        np.array([-2, -1, -1, 0, 0, 0, -1, -1]),
        dict.fromkeys(MISSED, weight),
        windows=1,
        labelled_windows=1,
    )


def test_the_best_detection_in_a_window_counts_once_and_false_ones_cost() -> None:
    scores = [np.array([9.0, 0, 2, 0, 3, 3, 0, 0])]
    assert nab_score([one_window()], scores, "standard") == pytest.approx((100 * (0.9 - -1.0) / 2, 3.0))
    score, _ = nab_score([one_window()], scores, "standard", threshold=2.0)
    assert score == pytest.approx(100 * (0.9 - 0.1 + 1.0) / 2)


def test_silence_scores_nothing_and_perfection_a_hundred() -> None:
    assert nab_score([one_window()], [np.zeros(8)], "standard", threshold=1.0)[0] == 0
    perfect = np.array([0.0, 0, 0, 1, 0, 0, 0, 0])
    assert nab_score([one_window()], [perfect], "reward_low_FN_rate")[0] == 100


def test_the_figures_of_an_operator() -> None:
    had = alerting([one_window()], [np.array([9.0, 2, 0, 0, 2, 0, 0, 0])], 2.0)
    assert (had.recall, had.median_delay_h) == (1.0, 1.0)
    assert had.false_a_day == pytest.approx(24 / 7)


def test_the_bank_keeps_its_score() -> None:
    series = load()
    scores, _ = scored("bank", series)
    for profile, floor in (("standard", 74), ("reward_low_FP_rate", 69), ("reward_low_FN_rate", 77)):
        assert nab_score(series, scores, profile)[0] >= floor
    assert alerting(series, scores, threshold_at(series, scores, FALSE_A_DAY)).recall >= 0.7


@pytest.mark.parametrize(("real", "floor"), [(True, 0.55), (False, 0.6)])
def test_faults_put_into_clean_series_are_found(real: bool, floor: float) -> None:
    assert measure(clean_series(real=real)).mean >= floor

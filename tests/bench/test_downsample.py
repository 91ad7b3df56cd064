"""The comparison is fair: each method keeps what it was asked for; and the figures that ours must not fall below."""

import numpy as np
import pytest

from bench.downsample import adaptive
from bench.downsample_methods import METHODS
from bench.downsample_series import Series, made, nab, node, score


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_keeps_no_more_points_than_it_was_asked_for(name: str) -> None:
    walk = next(one for one in made() if one.name == "walk")

    restored, points = METHODS[name](walk.time_ms, walk.value, 400)

    assert 300 <= points <= 400
    assert len(restored) == len(walk.value)


def test_a_score_is_perfect_for_the_series_itself_and_sees_a_lost_peak() -> None:
    values = np.zeros(200)
    values[100] = 10.0
    series = Series("peak", np.arange(200), values)

    assert score(series, values).extremes == 1.0
    assert score(series, np.zeros(200)).extremes == 0.75  # of two greatest and two least the peak
    assert score(series, np.zeros(200)).error == pytest.approx(np.sqrt(1 / 200))


@pytest.mark.parametrize(
    ("group", "stored", "error", "extremes", "p99_error"),
    [(nab, 0.09, 0.035, 0.80, 0.013), (node, 0.08, 0.032, 0.85, 0.01), (made, 0.065, 0.03, 0.85, 0.01)],
)
def test_what_is_kept_is_worth_its_points(
    group: object, stored: float, error: float, extremes: float, p99_error: float
) -> None:
    series = group()  # type: ignore[operator]
    results = [adaptive(one, 0.1) for one in series]
    scores = [score(one, restored) for one, (restored, _) in zip(series, results, strict=True)]

    shares = [points / len(one.value) for one, (_, points) in zip(series, results, strict=True)]
    assert max(shares) <= 0.12
    assert np.mean(shares) <= stored
    assert np.mean([one.error for one in scores]) <= error
    assert np.mean([one.extremes for one in scores]) >= extremes
    assert np.mean([one.p99_error for one in scores]) <= p99_error

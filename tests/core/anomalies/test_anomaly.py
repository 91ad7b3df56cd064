"""The scorer of many series: what it reports follows from a series' own past alone, and it stays calm on anything."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from pipeline.core.anomalies import step
from pipeline.core.anomalies.calendar import calendar, local_hour
from pipeline.core.anomalies.detectors import (
    DEFAULT_DETECTOR,
    DETECTORS,
    DetectorError,
    SeriesDetector,
    make_detector,
    score_series,
)
from pipeline.core.anomalies.scorer import Reason, Scores, SeriesScorer
from pipeline.core.anomalies.state import ScorerState
from pipeline.core.compiled import Array
from schemas.anomaly import AnomalyReason
from schemas.severity import Severity

FIVE_MINUTES_MS = 300_000
WEEK = 7 * 288
ALL = (DEFAULT_DETECTOR, *DETECTORS)
HOSTILE: dict[str, Callable[[Array], Array]] = {
    "flat": lambda i: np.full(len(i), 7.0),
    "zero": lambda i: np.zeros(len(i)),
    "boolean": lambda i: (i % 7 == 0).astype(float),
    "huge": lambda i: np.where(i % 50 == 0, 1e300, -1e300),
    "tiny": lambda i: 1e-300 * (i % 3),
    "not finite": lambda i: np.where(i % 3 == 0, np.nan, np.where(i % 3 == 1, np.inf, 1.0)),
    "resets": lambda i: (i % 200).astype(float),
    "steps": lambda i: (i // 150).astype(float),
}


def times(count: int) -> Array:
    return 1_780_000_000_000 + FIVE_MINUTES_MS * np.arange(count)


def daily(seed: int, count: int = 2 * WEEK) -> Array:
    """A load that follows the day, with noise."""
    rng = np.random.default_rng(seed)
    return 40 + 25 * np.sin(2 * np.pi * np.arange(count) / 288) + rng.normal(0, 2, count)


def scored(values: Array) -> Scores:
    return score_series(DEFAULT_DETECTOR, times(len(values)), values)


def assert_equal(found: Scores, expected: Scores) -> None:
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("name", ALL)
def test_what_comes_later_changes_nothing_earlier(name: str) -> None:
    values = daily(1, 600)
    changed = np.concatenate((values[:400], -1000 * values[400:]))
    before = score_series(name, times(600), values)
    after = score_series(name, times(600), changed)
    assert_equal(Scores(*(column[:400] for column in after)), Scores(*(column[:400] for column in before)))


def test_batches_rows_and_other_series_make_no_difference() -> None:
    series = [daily(seed, 700) for seed in range(5)]
    scorer = SeriesScorer(rows=2)
    scorer.grow(5)
    rng = np.random.default_rng(0)
    order = rng.permutation(np.repeat(np.arange(5), 700))
    place = np.zeros(len(order), np.int64)
    for row in range(5):
        place[order == row] = np.arange(700)
    values = np.array([series[row][at] for row, at in zip(order, place, strict=True)])
    cuts = np.sort(rng.integers(0, len(order), 50))
    parts = [
        scorer.update(order[part], times(700)[place[part]], values[part])
        for part in np.split(np.arange(len(order)), cuts)
    ]
    together = Scores(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    for row in range(5):
        assert_equal(Scores(*(column[order == row] for column in together)), scored(series[row]))


def test_a_restart_changes_no_bit() -> None:
    values = daily(2, 900)
    values[850] += 60
    row = np.zeros(900, np.int64)
    undisturbed = scored(values)
    for cut in (1, 99, 100, 128, 500, 849):
        before = SeriesScorer()
        before.update(row[:cut], times(900)[:cut], values[:cut])
        kept = [column.tobytes() for column in before.snapshot(np.array([0]))]
        like = SeriesScorer().snapshot(np.array([0]))
        state = ScorerState(*(np.frombuffer(b, c.dtype).reshape(c.shape) for b, c in zip(kept, like, strict=True)))
        after = SeriesScorer()
        after.restore(np.array([3]), state)
        rest = after.update(row[cut:] + 3, times(900)[cut:], values[cut:])
        assert_equal(rest, Scores(*(column[cut:] for column in undisturbed)))


def test_the_river_face_scores_as_the_bank_does_and_scoring_learns_nothing() -> None:
    values = daily(3, 500)
    values[400] += 80
    face = SeriesDetector()
    scores = []
    for at, value in zip(times(500), values, strict=True):
        x = {"value": float(value), "time_ms": int(at)}
        assert face.score_one(x) == face.score_one(x)
        scores.append(face.score_one(x))
        face.learn_one(x)
    assert scores == scored(values).score.tolist()
    assert max(scores[400:]) > 0


@pytest.mark.parametrize("name", DETECTORS)
def test_scoring_learns_nothing(name: str) -> None:
    scored, silent = make_detector(name), make_detector(name)
    for value in daily(4, 120):
        assert scored.score_one(value) == scored.score_one(value) == silent.score_one(value)
        scored.learn_one(value)
        silent.learn_one(value)


def test_values_whose_variance_is_rounded_below_0_are_scored() -> None:
    values = np.array([*(1e9 + 5.3 * np.arange(20)), *np.full(700, 5.3)])

    scores = score_series("GaussianScorer", np.arange(len(values)) * 1000, values)

    assert np.isfinite(scores.score).all()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_values_give_finite_scores_and_no_storm(name: str, kind: str) -> None:
    count = 2000 if name == DEFAULT_DETECTOR else 800
    scores = score_series(name, times(count), HOSTILE[kind](np.arange(count)))
    assert np.isfinite(scores.score).all()
    assert (scores.level >= Severity.WARN).sum() <= 6


def test_noise_raises_no_storm_at_the_start_nor_later() -> None:
    scores = [scored(np.random.default_rng(seed).normal(50, 5, WEEK)) for seed in range(20)]
    young = [int((v.level[:600] > Severity.NORMAL).sum()) for v in scores]
    assert all((v.level[:600] <= Severity.INFO).all() for v in scores)
    assert max(young) <= 3
    assert sum(int((v.level >= Severity.WARN).sum()) for v in scores) <= 0.15 * 20 * 5  # a series and day


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda v: np.concatenate((v[:1], v[1:2] + 90, v[2:])), Reason.SPIKE),
        (lambda v: np.concatenate((v[:1], v[1:2] - 90, v[2:])), Reason.DIP),
        (lambda v: np.concatenate((v[:1], np.full(60, v[1]), v[61:])), Reason.FLAT_LINE),
        (lambda v: np.concatenate((v[:1], v[1] + np.arange(60) % 7 / 100, v[61:])), Reason.FLAT_LINE),
        (lambda v: v + np.minimum(np.arange(len(v)) / 10, 40), Reason.LEVEL_SHIFT),
    ],
)
def test_a_fault_is_told_with_its_reason(fault: Callable[[Array], Array], reason: Reason) -> None:
    values = daily(5)
    at = WEEK + 100
    values[at:] = fault(values[at:])
    scores = scored(values)
    reported = np.flatnonzero(scores.level[at:] >= Severity.WARN) + at
    assert len(reported) > 0
    assert reason in set(scores.reason[reported].tolist())


@pytest.mark.parametrize("seed", range(8))
def test_a_dip_is_measured_by_dips_where_peaks_are_larger(seed: int) -> None:
    values = np.exp(np.random.default_rng(seed).normal(3, 0.5, 2 * WEEK))  # from about 4 up to 120
    values[3000] = -40
    scores = scored(values)
    assert scores.level[3000] >= Severity.WARN
    assert scores.reason[3000] == Reason.DIP
    assert scores.low[3000] > -40


@pytest.mark.parametrize("seed", range(5))
def test_what_comes_again_and_again_is_told_no_more(seed: int) -> None:
    """A sawtooth that falls every 58 hours, so that no hour of the day explains it; eight times here."""
    values = 40 + np.arange(3 * WEEK) % 700 / 100 + np.random.default_rng(seed).normal(0, 0.05, 3 * WEEK)
    reported = np.flatnonzero(scored(values).level >= Severity.WARN)
    assert 1400 in reported
    assert reported.max() <= 2100


@pytest.mark.parametrize("sign", [1, -1])
def test_steps_that_go_on_are_told_though_one_of_them_is_not(sign: int) -> None:
    reported = {1: 0, 3: 0}
    for seed in range(20):
        for steps in reported:
            values = np.random.default_rng(seed).normal(50, 1, WEEK + steps)
            values[WEEK:] += sign * 2.5 * np.arange(1, steps + 1)
            reported[steps] += bool((scored(values).level[WEEK:] >= Severity.WARN).any())
    assert reported[1] <= 4
    assert reported[3] == 20


def test_a_second_incident_is_told_soon_after_the_first_is_over() -> None:
    """Half as high, and within the 120 samples in which what was reported still counts."""
    reported = 0
    for seed in range(20):
        values = np.random.default_rng(seed).normal(50, 1, WEEK + 200)
        values[WEEK : WEEK + 3] += 30
        values[WEEK + 90 : WEEK + 93] += 15
        scores = scored(values)
        assert scores.level[WEEK] >= Severity.WARN
        reported += bool((scores.level[WEEK + 90 : WEEK + 93] >= Severity.INFO).any())
    assert reported == 20


def test_bursts_among_little_noise_are_no_drift() -> None:
    reported = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        values = 0.1 * rng.integers(0, 4, 2 * WEEK) + (rng.uniform(size=2 * WEEK) < 0.02) * rng.exponential(3, 2 * WEEK)
        reported += int((scored(values).level >= Severity.WARN).sum())
    assert reported <= 0.15 * 30 * 14  # a series and day


def test_most_values_are_within_the_expected_band() -> None:
    values = daily(6)
    scores = scored(values)
    assert np.isnan(scores.low[:100]).all()
    inside = (scores.low[WEEK:] <= values[WEEK:]) & (values[WEEK:] <= scores.high[WEEK:])
    assert 0.97 <= inside.mean() < 1.0
    assert (scores.high[WEEK:] - scores.low[WEEK:]).mean() < 40


def test_a_series_takes_less_than_four_kilobytes() -> None:
    scorer = SeriesScorer(rows=4)
    before = scorer.bytes_a_series
    scorer.update(np.zeros(3000, np.int64), times(3000), daily(7, 3000))
    assert scorer.bytes_a_series == before <= 4000


def test_a_started_row_has_forgotten_the_series_before() -> None:
    values = daily(8, 400)
    scorer = SeriesScorer()
    scorer.update(np.zeros(400, np.int64), times(400), -3 * values)
    scorer.start(0)
    assert_equal(scorer.update(np.zeros(400, np.int64), times(400), values), scored(values))


def test_hours_follow_daylight_saving() -> None:
    clocks = calendar([ZoneInfo("Asia/Seoul"), ZoneInfo("Europe/Berlin")])
    summer, winter = 1_782_900_000_000, 1_767_607_200_000  # Wednesday 2026-07-01 10:00, Monday 2026-01-05 10:00 UTC
    assert [local_hour(at, zone, clocks) for zone in (0, 1) for at in (summer, winter)] == [
        (19, 0),
        (19, 0),
        (12, 0),
        (11, 0),
    ]
    assert local_hour(1_774_745_999_999, 1, clocks) == (1, 1)  # the last moment before the change of Sunday 2026-03-29
    assert local_hour(1_774_746_000_000, 1, clocks) == (3, 1)


def test_what_may_not_be_named_is_refused() -> None:
    with pytest.raises(DetectorError, match=r"detector must be one of bank, .*, got 'os.system'"):
        make_detector("os.system")
    with pytest.raises(DetectorError, match=r"HalfSpaceTrees takes height, n_trees, window_size, got 'seed'"):
        make_detector("HalfSpaceTrees", {"seed": 1})


def test_rows_and_lengths_are_checked() -> None:
    scorer = SeriesScorer(rows=2)
    with pytest.raises(ValueError, match=r"rows must be 0 to 1, got 0 to 2"):
        scorer.update(np.array([0, 2]), np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match=r"of one length, got 2, 1, 2"):
        scorer.update(np.array([0, 1]), np.zeros(1), np.zeros(2))
    with pytest.raises(ValueError, match=r"number must be float64"):
        scorer.restore(np.array([0]), scorer.snapshot(np.array([0, 1])))


def test_the_codes_of_kernels_are_those_of_levels_and_reasons() -> None:
    assert [int(level) for level in Severity] == [step.NORMAL, step.INFO, step.WARN, step.CRITICAL] == [0, 1, 2, 3]
    codes = (step.NOTHING, step.SPIKE, step.DIP, step.LEVEL_SHIFT, step.UNUSUAL_HOUR, step.NEW_PATTERN, step.FLAT_LINE)
    assert [int(reason) for reason in Reason] == list(codes) == [0, 1, 2, 3, 4, 5, 6]
    assert [reason.name for reason in Reason if reason] == [each.name for each in AnomalyReason][:6]

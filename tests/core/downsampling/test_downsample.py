"""Down-sampling: chunks depend on the samples alone, and decode to what their metadata says."""

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.downsampling import state as codes
from pipeline.core.downsampling.series_downsampler import (
    Chunk,
    DownsamplingRules,
    Encoder,
    MetricKind,
    SeriesClass,
    SeriesDownsampler,
    decode,
)

Array = np.ndarray[Any, Any]
HOUR_MS = 3_600_000
START_MS = 494_000 * HOUR_MS
ONE = np.zeros(1, np.int64)
IN_ORDER = DownsamplingRules(grace_ms=0, allowed_lateness_ms=0, shared=False)


def chunks_of(
    time_ms: Sequence[int] | Array,
    values: Sequence[float] | Array,
    rules: DownsamplingRules = IN_ORDER,
    kind: MetricKind = MetricKind.AUTO,
    cuts: Sequence[int] = (),
) -> list[Chunk]:
    """Down-sample one series, its samples added in batches that end at ``cuts``."""
    downsampler = SeriesDownsampler(rules, rows=1)
    downsampler.start(0, kind)
    return added(downsampler, time_ms, values, cuts) + downsampler.flush(ONE)


def added(
    downsampler: SeriesDownsampler,
    time_ms: Sequence[int] | Array,
    values: Sequence[float] | Array,
    cuts: Sequence[int] = (),
) -> list[Chunk]:
    times, samples = np.asarray(time_ms, np.int64), np.asarray(values, np.float64)
    chunks = []
    for part in np.split(np.arange(len(times)), sorted(cuts)):
        chunks += downsampler.add(np.zeros(len(part), np.int64), times[part], samples[part], part)
    return chunks


def same(left: Sequence[Chunk], right: Sequence[Chunk]) -> bool:
    return [plain(chunk) for chunk in left] == [plain(chunk) for chunk in right]


def plain(chunk: Chunk) -> list[Any]:
    values = [getattr(chunk, field.name) for field in fields(chunk)]
    return [value.tolist() if isinstance(value, np.ndarray) else value for value in values]


def decoded(chunks: Sequence[Chunk], at_ms: Array) -> Array:
    points = [np.concatenate([getattr(c, name) for c in chunks]) for name in ("times_ms", "values", "interp")]
    return decode(points[0], points[1], points[2], at_ms)


def every_10_s(count: int) -> Array:
    return START_MS + 10_000 * np.arange(count)


def wave(count: int, seed: int = 0) -> Array:
    noise = np.random.default_rng(seed).normal(0, 1, count)
    return np.round(50 + 30 * np.sin(np.arange(count) / 90) + noise, 2)


def poisson_counter(count: int, reset_at: int) -> Array:
    total = np.cumsum(np.random.default_rng(1).poisson(50, count)).astype(float)
    total[reset_at:] -= total[reset_at] - 7
    return total


SERIES = st.sampled_from(["wave", "noise", "walk", "steps", "counter", "spikes", "constant", "hostile"])


def made(name: str, count: int, seed: int) -> Array:
    random = np.random.default_rng(seed)
    series: dict[str, Array] = {
        "wave": wave(count, seed),
        "noise": random.normal(0, 5, count),
        "walk": np.cumsum(random.normal(0, 1, count)),
        "steps": np.repeat(random.integers(0, 5, count // 40 + 1), 40)[:count].astype(float),
        "counter": np.cumsum(random.poisson(20, count)).astype(float),
        "spikes": 5 + (random.random(count) < 0.02) * random.uniform(50, 90, count),
        "constant": np.full(count, 0.1),
        "hostile": random.choice([1e300, -1e300, 0.0, 5e-324, 1e305, -1e-9], count),
    }
    return series[name]


@settings(max_examples=60, deadline=None)
@given(name=SERIES, count=st.integers(1, 900), seed=st.integers(0, 9), kind=st.sampled_from(MetricKind))
def test_what_is_decoded_is_what_the_metadata_says(name: str, count: int, seed: int, kind: MetricKind) -> None:
    random = np.random.default_rng(seed)
    time_ms = START_MS + np.cumsum(random.integers(1, 20_000, count))
    values = made(name, count, seed)

    chunks = chunks_of(time_ms, values, kind=kind)

    assert sum(chunk.n_raw for chunk in chunks) == count
    restored = decoded(chunks, time_ms)
    assert (np.diff(np.concatenate([chunk.times_ms for chunk in chunks])) > 0).all()
    for chunk in chunks:
        inside = (time_ms >= chunk.start_ms) & (time_ms < chunk.end_ms)
        raw, error = values[inside], np.abs(restored[inside] - values[inside])
        assert len(raw) == chunk.n_raw <= 360
        assert (chunk.min, chunk.max) == (raw.min(), raw.max())
        assert chunk.sum == pytest.approx(math.fsum(raw), rel=1e-9, abs=1e-9 * np.abs(raw).max())
        assert chunk.max_error == error.max()
        unit = chunk.max_error or 1.0
        assert chunk.sigma == pytest.approx(unit * float(np.sqrt(np.mean((error / unit) ** 2))))
        assert 1 <= chunk.n_kept == len(chunk.times_ms)
        assert (chunk.first_ms, chunk.last_ms) == (time_ms[inside][0], time_ms[inside][-1])
        assert raw.min() <= chunk.values.min() <= chunk.values.max() <= raw.max()


@settings(max_examples=40, deadline=None)
@given(name=SERIES, seed=st.integers(0, 9), cuts=st.lists(st.integers(0, 1500), max_size=8), shift=st.integers(0, 12))
def test_batches_do_not_matter(name: str, seed: int, cuts: list[int], shift: int) -> None:
    random = np.random.default_rng(seed)
    time_ms = every_10_s(1500) + random.integers(0, 9_000 * shift + 1, 1500)  # out of order, partly too late
    values = made(name, 1500, seed)
    rules = DownsamplingRules()

    assert same(chunks_of(time_ms, values, rules), chunks_of(time_ms, values, rules, cuts=cuts))


@settings(max_examples=30, deadline=None)
@given(name=SERIES, seed=st.integers(0, 9), cut=st.integers(0, 1500))
def test_a_restart_changes_nothing(name: str, seed: int, cut: int) -> None:
    random = np.random.default_rng(seed)
    time_ms = every_10_s(1500) + random.integers(0, 60_000, 1500)
    values = made(name, 1500, seed)
    whole = SeriesDownsampler(rows=1)
    expected = added(whole, time_ms, values, [cut])

    first = SeriesDownsampler(rows=1)
    chunks = added(first, time_ms[:cut], values[:cut])
    again = SeriesDownsampler(rows=4)
    again.restore(ONE + 2, first.snapshot(ONE))
    again.fleet = first.fleet
    rest = np.arange(cut, 1500)
    moved = again.add(np.full(len(rest), 2), time_ms[rest], values[rest], rest) + again.flush(ONE + 2)

    assert same(chunks + [replace(chunk, row=0) for chunk in moved], expected + whole.flush(ONE))
    assert again.counts(2) == whole.counts(0)


def test_samples_within_grace_come_out_as_if_they_were_in_order() -> None:
    random = np.random.default_rng(3)
    time_ms, values = every_10_s(2000), wave(2000)
    order = np.argsort(np.arange(2000) + random.uniform(0, 5, 2000), kind="stable")
    rules = DownsamplingRules(grace_ms=60_000, shared=False)

    shuffled = chunks_of(time_ms[order], values[order], rules)

    kept = [(chunk.start_ms, chunk.end_ms, chunk.times_ms.tolist(), chunk.values.tolist()) for chunk in shuffled]
    assert kept == [
        (chunk.start_ms, chunk.end_ms, chunk.times_ms.tolist(), chunk.values.tolist())
        for chunk in chunks_of(time_ms, values)
    ]


def test_a_late_sample_makes_a_higher_revision_that_is_the_chunk_with_it() -> None:
    time_ms, values = every_10_s(724), wave(724)
    late = 355
    order = [*range(late), *range(late + 1, 364), late, *range(364, 724)]
    rules = DownsamplingRules(grace_ms=0, allowed_lateness_ms=120_000, shared=False)

    chunks = chunks_of(time_ms[order], values[order], rules)

    assert [(chunk.n_raw, chunk.revision) for chunk in chunks[:3]] == [(359, 359), (360, 363), (360, 719 + 1)]
    assert chunks[0].start_ms == chunks[1].start_ms
    in_order = chunks_of(time_ms, values)
    assert [chunk.values.tolist() for chunk in chunks[1:]] == [chunk.values.tolist() for chunk in in_order]


def test_a_sample_beyond_the_correction_time_is_counted() -> None:
    downsampler = SeriesDownsampler(DownsamplingRules(grace_ms=0, allowed_lateness_ms=60_000), rows=1)
    added(downsampler, every_10_s(380), wave(380))

    assert downsampler.add(ONE, np.array([START_MS + 5_000]), np.ones(1), ONE + 380) == []
    assert downsampler.counts(0).late == 1


def test_the_same_sample_again_changes_nothing_and_another_of_its_time_replaces_it() -> None:
    time_ms, values = every_10_s(362), wave(362)
    downsampler = SeriesDownsampler(DownsamplingRules(grace_ms=0), rows=1)
    assert len(added(downsampler, time_ms, values)) == 1
    downsampler.add(ONE, time_ms[100:101], values[100:101], ONE + 362)
    assert len(downsampler.silent(START_MS)) == 0
    downsampler.add(ONE, time_ms[100:101], np.array([99.5]), ONE + 363)

    revised, *_ = downsampler.flush(ONE)

    assert (revised.max, revised.n_raw, revised.revision) == (99.5, 360, 363)
    assert downsampler.counts(0).replaced == 2


def test_nothing_is_drawn_over_a_gap() -> None:
    time_ms = np.concatenate([every_10_s(100), every_10_s(100) + 1_500_000])
    values = np.concatenate([np.linspace(0, 10, 100), np.linspace(90, 100, 100)])

    before, after = chunks_of(time_ms, values)

    assert (before.end_ms, after.start_ms, after.gap) == (before.last_ms + 1, time_ms[100], True)
    assert (after.times_ms[0], chr(after.interp[0])) == (time_ms[100], "s")
    assert decoded([before, after], np.array([START_MS + 1_200_000]))[0] == values[99]


def test_a_slower_pace_is_no_series_of_gaps() -> None:
    time_ms = np.concatenate([every_10_s(100), START_MS + 1_000_000 + 60_000 * np.arange(1, 300)])

    chunks = chunks_of(time_ms, wave(399))

    assert sum(chunk.gap for chunk in chunks) <= 5


def test_chunks_end_at_full_hours_or_at_their_most_samples() -> None:
    chunks = chunks_of(START_MS + 600_000 + 1000 * np.arange(4000), wave(4000))

    assert [chunk.n_raw for chunk in chunks] == [360, 360, 360, 360, 360, 360, 360, 360, 120, 360, 360, 280]
    assert [chunk.start_ms for chunk in chunks if chunk.start_ms % HOUR_MS == 0] == [START_MS, START_MS + HOUR_MS]
    assert [chunk.end_ms for chunk in chunks[:-1]] == [chunk.start_ms for chunk in chunks[1:]]


def test_chunks_of_sparse_series_are_longer_where_that_is_allowed() -> None:
    time_ms = START_MS // (24 * HOUR_MS) * 24 * HOUR_MS + 300_000 * np.arange(1000)

    chunks = chunks_of(time_ms, wave(1000), IN_ORDER._replace(longest_chunk_ms=100 * HOUR_MS))

    assert [chunk.n_raw for chunk in chunks] == [288, 288, 288, 136]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e306])
def test_values_that_are_no_samples_are_counted(value: float) -> None:
    downsampler = SeriesDownsampler(rows=1)
    downsampler.add(ONE, ONE + START_MS, np.array([value]), ONE)

    assert downsampler.flush(ONE) == []
    assert downsampler.counts(0).unusable == 1


def test_constants_and_steps_lose_nothing() -> None:
    levels = np.repeat(np.random.default_rng(5).integers(0, 100, 120), 30) / 7

    for values in (np.full(3600, 0.1), levels):
        chunks = chunks_of(every_10_s(3600), values)
        assert decoded(chunks, every_10_s(3600)).tolist() == values.tolist()
        assert sum(chunk.n_kept for chunk in chunks) <= 0.04 * 3600
        assert {chunk.encoder for chunk in chunks} == {Encoder.HELD}


def test_a_counters_total_is_exact_and_no_reset_is_invented() -> None:
    values = poisson_counter(3600, reset_at=2000)

    chunks = chunks_of(every_10_s(3600), values)

    restored = decoded(chunks, every_10_s(3600))
    assert {chunk.series_class for chunk in chunks} == {SeriesClass.COUNTER}
    assert np.flatnonzero(np.diff(restored) < 0).tolist() == [1999]
    grown = np.diff(restored)
    assert grown[grown > 0].sum() == pytest.approx(np.diff(values)[np.diff(values) > 0].sum(), abs=1e-6)
    assert set(np.concatenate([chunk.values for chunk in chunks])) <= set(values)


def test_a_state_never_has_a_value_that_it_did_not_have() -> None:
    values = np.random.default_rng(6).choice([0.0, 1.0, 5.0], 3000)

    chunks = chunks_of(every_10_s(3000), values, kind=MetricKind.STATE)

    assert set(np.concatenate([chunk.values for chunk in chunks])) <= {0.0, 1.0, 5.0}
    assert sum(chunk.n_kept for chunk in chunks) <= 300


def test_one_sample_that_stands_out_is_kept_as_it_is() -> None:
    values = 10 + np.random.default_rng(7).normal(0, 0.1, 1440)
    values[1000] = 100.0

    restored = decoded(chunks_of(every_10_s(1440), values), every_10_s(1440))

    assert restored[1000] == 100.0
    assert restored[998] < 11 > restored[1002]


@pytest.mark.parametrize("name", ["wave", "noise", "walk", "spikes", "counter"])
def test_no_series_keeps_more_than_its_ratio_in_the_long_run(name: str) -> None:
    chunks = chunks_of(every_10_s(7200), made(name, 7200, 1))

    assert sum(chunk.n_kept for chunk in chunks) <= 0.1 * 7200


def test_quiet_series_leave_points_to_loud_ones() -> None:
    downsampler = SeriesDownsampler(DownsamplingRules(grace_ms=0), rows=4)
    values = {0: made("noise", 7200, 0), 1: np.full(7200, 3.0), 2: np.full(7200, 4.0), 3: np.full(7200, 5.0)}
    rows = np.tile(np.arange(4), 7200)
    samples = np.stack([values[row] for row in range(4)], axis=1).ravel()
    chunks = downsampler.add(rows, np.repeat(every_10_s(7200), 4), samples, np.arange(4 * 7200)) + downsampler.flush(
        np.arange(4)
    )

    loud = sum(chunk.n_kept for chunk in chunks if chunk.row == 0)
    assert 0.1 * 7200 < loud <= 0.12 * 7200
    assert sum(chunk.n_kept for chunk in chunks) <= 0.1 * 4 * 7200


def test_a_series_takes_less_than_8_kb() -> None:
    assert SeriesDownsampler().bytes_a_series <= 8000


def test_a_state_that_cannot_be_is_refused() -> None:
    downsampler = SeriesDownsampler(rows=1)
    added(downsampler, every_10_s(50), wave(50))
    state = downsampler.snapshot(ONE)
    broken = state.whole.copy()
    broken[:] = 1 << 40

    with pytest.raises(ValueError, match="must be counted within its room of 432"):
        downsampler.restore(ONE, state._replace(whole=broken))
    with pytest.raises(ValueError, match=r"value must be float64\(1, 432\), got float64\(1, 431\)"):
        downsampler.restore(ONE, state._replace(value=state.value[:, 1:]))
    with pytest.raises(ValueError, match=r"number must be float64\(2, "):
        downsampler.restore(np.arange(2), state)


def test_every_sample_is_accounted_for() -> None:
    random = np.random.default_rng(4)
    values = np.where(random.random(3000) < 0.01, np.nan, wave(3000))
    time_ms = every_10_s(3000) - random.integers(0, 40_000, 3000) // 5_000 * 5_000
    time_ms[random.random(3000) < 0.01] -= 300_000
    downsampler = SeriesDownsampler(DownsamplingRules(grace_ms=5_000), rows=1)

    chunks = added(downsampler, time_ms, values)

    counts = downsampler.totals(1)
    assert min(counts) > 0
    assert sum(chunk.n_raw - chunk.n_before for chunk in chunks) + sum(counts) == 3000


def test_series_that_are_kept_go_on_in_their_new_rows() -> None:
    downsampler = SeriesDownsampler(rows=3)
    rows = np.tile(np.arange(3), 500)
    values = np.stack([wave(500, seed) for seed in range(3)], axis=1).ravel()
    chunks = downsampler.add(rows, np.repeat(every_10_s(500), 3), values, np.arange(1500))
    alone = downsampler.snapshot(ONE + 2)

    downsampler.keep(ONE + 2)

    assert len(chunks) == 3
    assert [column.tolist() for column in downsampler.live(1)] == [column.tolist() for column in alone]


def test_bad_use_is_refused() -> None:
    downsampler = SeriesDownsampler(rows=1)
    with pytest.raises(ValueError, match="rows must be 0 to 0, got 1 to 1"):
        downsampler.add(ONE + 1, ONE, np.ones(1), ONE)
    with pytest.raises(ValueError, match="must be of one length"):
        downsampler.add(ONE, ONE, np.ones(2), ONE)
    with pytest.raises(ValueError, match="ratio must be above 0 and at most 1, got 0"):
        SeriesDownsampler(DownsamplingRules(ratio=0))


def test_the_codes_of_kernels_are_those_of_kinds_classes_and_encoders() -> None:
    kinds = (codes.AUTO, codes.GAUGE, codes.COUNTER, codes.STATE)
    assert [int(kind) for kind in MetricKind] == list(kinds) == [0, 1, 2, 3]
    classes = (codes.CLASS_COUNTER, codes.CLASS_STEP, codes.CLASS_NOISY, codes.CLASS_SPIKY, codes.CLASS_SMOOTH)
    assert [int(each) for each in SeriesClass] == list(classes) == [0, 1, 2, 3, 4]
    encoders = (codes.HELD, codes.LEVELS, codes.LINES, codes.REFITTED_LINES, codes.INCREASES)
    assert [int(each) for each in Encoder] == list(encoders) == [0, 1, 2, 3, 4]
    assert (ord("l"), ord("s")) == (codes.LINE, codes.STEP)

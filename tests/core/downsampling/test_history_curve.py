"""Stored chunks as a curve: lines and steps between points, nothing over gaps, means from sums."""

import numpy as np
import pytest

from pipeline.core.downsampling.curve import (
    CurveSegment,
    StoredChunk,
    clipped,
    decoded,
    segments_of,
    total_of,
    vertices,
)

NAN = float("nan")


def chunk(start_ms, points, *, end_ms=None, last_ms=None, gap=False, count=10, total=0.0):
    times, values, interp = zip(*points, strict=True)
    return StoredChunk(
        start_ms=start_ms,
        end_ms=start_ms + 100 if end_ms is None else end_ms,
        last_ms=times[-1] if last_ms is None else last_ms,
        gap=gap,
        count=count,
        sum=total,
        min=min(values),
        max=max(values),
        sigma=0.0,
        times_ms=np.array(times),
        values=np.array(values),
        interp=np.frombuffer("".join(interp).encode(), np.uint8),
    )


def shape(runs: list[CurveSegment]) -> list[tuple[list[int], list[float], int]]:
    return [(run.times_ms.tolist(), run.values.tolist(), run.until_ms) for run in runs]


CHUNKS = [
    chunk(0, [(0, 1.0, "l"), (20, 3.0, "l")]),
    chunk(100, [(100, 5.0, "l"), (140, 7.0, "s")], last_ms=150),
    chunk(300, [(300, 9.0, "l")], gap=True, last_ms=350),
]


def test_a_gap_begins_a_new_run_and_a_chunk_without_one_goes_on() -> None:
    assert shape(segments_of(CHUNKS)) == [([0, 20, 100, 140], [1.0, 3.0, 5.0, 7.0], 150), ([300], [9.0], 350)]
    assert segments_of([]) == []


def test_points_that_lie_behind_their_time_are_left_out() -> None:
    overlapping = [chunk(0, [(0, 1.0, "l"), (50, 2.0, "l")]), chunk(40, [(40, 8.0, "l"), (60, 3.0, "l")])]
    assert shape(segments_of(overlapping)) == [([0, 50, 60], [1.0, 2.0, 3.0], 60)]


def test_values_between_points_are_on_the_line_or_held_and_unknown_in_gaps() -> None:
    at = np.array([-1, 0, 10, 60, 139, 140, 150, 151, 299, 300, 350, 351])
    expected = [NAN, 1.0, 2.0, 4.0, 5.0, 7.0, 7.0, NAN, NAN, 9.0, 9.0, NAN]
    np.testing.assert_array_equal(decoded(segments_of(CHUNKS), at), expected)


def test_a_curve_that_is_clipped_begins_and_ends_where_it_is_cut() -> None:
    runs = segments_of(CHUNKS)
    assert shape(clipped(runs, 60, 145)) == [([60, 100, 140], [4.0, 5.0, 7.0], 144)]
    assert shape(clipped(runs, 20, 100)) == [([20, 99], [3.0, 4.975], 99)]
    assert shape(clipped(runs, 99, 100)) == [([99], [4.975], 99)]
    assert shape(clipped(runs, 110, 130)) == [([110], [5.0], 129)]
    assert shape(clipped(runs, 151, 300)) == []
    assert shape(clipped(runs, 320, 900)) == [([320], [9.0], 350)]


def test_corners_have_a_step_as_two_and_hold_the_last_value() -> None:
    first, second = (vertices(run) for run in segments_of(CHUNKS))
    assert (first[0].tolist(), first[1].tolist()) == ([0, 20, 100, 139, 140, 150], [1.0, 3.0, 5.0, 5.0, 7.0, 7.0])
    assert (second[0].tolist(), second[1].tolist()) == ([300, 350], [9.0, 9.0])


def test_whole_chunks_count_with_their_sums_and_others_with_their_curve() -> None:
    chunks = [
        chunk(0, [(0, 1.0, "l")], last_ms=99, count=10, total=70.0),
        chunk(100, [(100, 2.0, "s")], last_ms=199, count=4, total=8.0),
    ]
    whole = total_of(chunks, 0, 200)
    assert (whole.sum, whole.count, whole.is_exact) == (78.0, 14, True)
    part = total_of(chunks, 0, 140)  # samples at 100, 133, 166 and 199
    assert (part.sum, part.count, part.is_exact) == (pytest.approx(74.0), 12, False)
    assert total_of(chunks, 200, 300).count == 0

"""The state of many down-sampled series in columns, and the room that compiled code works in."""

from typing import NamedTuple

import numpy as np

from pipeline.core.compiled import Array

# kinds of a series; all but AUTO are known from the metric catalogue or by the caller
AUTO, GAUGE, COUNTER, STATE = 0, 1, 2, 3
# classes of a chunk
CLASS_COUNTER, CLASS_STEP, CLASS_NOISY, CLASS_SPIKY, CLASS_SMOOTH, CLASSES = 0, 1, 2, 3, 4, 5
# encoders of a chunk
HELD, LEVELS, LINES, REFITTED_LINES, INCREASES = 0, 1, 2, 3, 4

LINE, STEP = ord("l"), ord("s")
"""How a kept point is reached from the one before: along a straight line, or the value before is held until then."""

FIRST_PRICE = 0.01
"""Of a point in a series' first chunk: below the least price, which holds until the price has followed. Half gives the
same; double infrastructure 8.70 % .0327 .850, node 7.57 % .0273 .885, made 6.06 % .0270 .919."""
NEVER = -(1 << 62)
"""Before all times."""

# columns of DownsamplerState.number: what the encoder knows of a series
(
    CHUNKS,  # encoded so far
    BUDGET_LAMBDA,  # what a point must be worth, in squared usual deviations
    SAVED,  # points that were not used so far
    GRANT,  # points a sample that the fleet adds to the ratio
    ANCHOR_MS,  # the last kept point
    ANCHOR_VALUE,
    ANCHOR_READING,  # how the chunk before ended: 0 nothing before, or after a gap; LINE or STEP
    LAST_VALUE,  # the newest sample of the chunk before
    DECIMALS,  # the most decimals seen; -1 when they are too many
    CHANGES,  # share of samples that differ from the one before
    RISES,  # share of changes upwards
    INTEGERS,  # share of integers
    FALLS,  # share of changes downwards that do not land near zero
    CORRELATION,  # of neighbours
    BURST,  # the part of the squared deviations in their top 2 %
    SIGNAL,  # which signal the columns below are of: 0 none, 1 the values, 2 the increases
    MEAN,  # of the signal
    SCALE,  # its usual deviation
    LOW,  # its running 2 % quantile
    HIGH,  # its running 98 % quantile
    SEEN,  # samples that these know
    NUMBERS,
) = range(22)

# columns of DownsamplerState.whole: the buffer of a series, and what is counted
(
    KIND,
    WATERMARK_MS,  # the newest sample's time
    INTERVAL_MS,  # the usual time from a sample to the next; 0 until it is known
    KEPT_COUNT,  # samples of the chunk before, which may still be revised
    KEPT_START_MS,
    KEPT_END_MS,
    KEPT_FIRST_OFFSET,
    KEPT_LAST_OFFSET,
    KEPT_REVISION,
    KEPT_GAP,
    KEPT_CHANGED,  # 1: late samples came since it was emitted
    KEPT_GIVEN,  # samples that it had when it was emitted
    OPEN_COUNT,  # samples behind them
    SETTLED,  # those of the open samples that are in order for good
    OPEN_START_MS,
    OPEN_END_MS,
    OPEN_FIRST_OFFSET,
    OPEN_LAST_OFFSET,
    OPEN_GAP,  # 1: a gap before the open chunk
    NEXT_FIRST_OFFSET,  # of the first sample behind the open chunk's end; -1 before it
    LAST_END_MS,  # where the newest emitted chunk ends
    LAST_MS,  # its last sample's time
    LATE,  # samples too late
    UNUSABLE,  # not finite, or beyond all sense
    REPLACED,  # samples that another one of the same time replaced
    WHOLES,
) = range(26)


class DownsamplingRules(NamedTuple):
    """How series are cut into chunks and what may be kept of them.

    Parameters
    ----------
    ratio
        Points kept for each sample, in the long run.
    chunk_ms
        Chunks end where event time is a multiple of it.
    longest_chunk_ms
        Sparse series may have longer chunks, up to this: multiples of ``chunk_ms``.
    chunk_points
        The most samples of a chunk, 8 to 4096.
    grace_ms
        How far samples may be out of order before they count as late.
    allowed_lateness_ms
        How long after its end a chunk that was emitted is revised by late samples.
    shared
        Whether series that need less than the ratio leave it to those that need more.
    """

    ratio: float = 0.1
    chunk_ms: int = 3_600_000
    longest_chunk_ms: int = 3_600_000
    chunk_points: int = 360
    grace_ms: int = 10_000
    allowed_lateness_ms: int = 60_000
    shared: bool = True

    @property
    def room(self) -> int:
        """How many samples of a series there is room for: a chunk, and what comes while it may be revised."""
        return self.chunk_points + max(self.chunk_points // 5, 16)


class DownsamplerState(NamedTuple):
    """Many series, one a row; a row is all there is of a series."""

    number: Array  # float64[rows, NUMBERS]
    before: Array  # float64[rows, NUMBERS]: the same before the chunk that may be revised
    whole: Array  # int64[rows, WHOLES]
    time_ms: Array  # int64[rows, room]: samples in order: KEPT_COUNT, then OPEN_COUNT
    value: Array  # float64[rows, room]


class EncodeScratch(NamedTuple):
    """Room for one chunk that is encoded; nothing in it outlives the call."""

    x: Array  # float64: nodes: time in samples
    y: Array  # float64: nodes: the value in usual deviations
    sums: Array  # float64[room, 5]: prefix sums
    pinned: Array  # uint8: nodes that stay
    before: Array  # int64: the node before that is left
    after: Array  # int64: the node behind that is left; -1 for a node that is removed
    stamp: Array  # int64: how often a node's cost changed
    error: Array  # float64: squared error of the segment from a node to the next
    joined: Array  # float64: of the one from the node before to the next, without this node
    heap_cost: Array  # float64
    heap_node: Array  # int64
    heap_stamp: Array  # int64
    order: Array  # int64: candidates for pins
    weight: Array  # float64
    sorted: Array  # float64: values in order
    knot_y: Array  # float64: what the knots are refitted to
    solve: Array  # float64[3, room]: the tridiagonal system
    signal: Array  # float64: what is normalised: the values or the increases


class Emitted(NamedTuple):
    """Room for chunks that compiled code gives out."""

    whole: Array  # int64[chunks, EMITTED_WHOLES]
    number: Array  # float64[chunks, EMITTED_NUMBERS]
    time_ms: Array  # int64[points]
    value: Array  # float64[points]
    interp: Array  # uint8[points]
    used: Array  # int64[2]: chunks and points


(
    OUT_ROW,
    OUT_START_MS,
    OUT_END_MS,
    OUT_FIRST_MS,
    OUT_LAST_MS,
    OUT_CLASS,
    OUT_ENCODER,
    OUT_RAW,
    OUT_POINTS_FROM,
    OUT_POINTS_TO,
    OUT_FIRST_OFFSET,
    OUT_LAST_OFFSET,
    OUT_REVISION,
    OUT_GAP,
    OUT_BEFORE,
    EMITTED_WHOLES,
) = range(16)
OUT_SIGMA, OUT_MAX_ERROR, OUT_MIN, OUT_MAX, OUT_SUM, EMITTED_NUMBERS = range(6)


def new_series(rows: int, room: int) -> DownsamplerState:
    """Return ``rows`` series that have seen nothing."""
    series = DownsamplerState(
        number=np.zeros((rows, NUMBERS)),
        before=np.zeros((rows, NUMBERS)),
        whole=np.zeros((rows, WHOLES), np.int64),
        time_ms=np.zeros((rows, room), np.int64),
        value=np.zeros((rows, room)),
    )
    clear(series, slice(None))
    return series


def clear(series: DownsamplerState, rows: slice | int) -> None:
    """Make ``rows`` forget everything."""
    for column in series:
        column[rows] = 0
    series.whole[rows, WATERMARK_MS] = NEVER
    series.whole[rows, LAST_END_MS] = NEVER
    series.whole[rows, LAST_MS] = NEVER
    series.number[rows, BUDGET_LAMBDA] = FIRST_PRICE


def new_scratch(room: int) -> EncodeScratch:
    """Return room for chunks of up to ``room`` samples."""
    size = room + 2

    def numbers(*shape: int) -> Array:
        return np.zeros(shape)

    def integers(count: int) -> Array:
        return np.zeros(count, np.int64)

    return EncodeScratch(
        x=numbers(size),
        y=numbers(size),
        sums=numbers(size + 1, 5),
        pinned=np.zeros(size, np.uint8),
        before=integers(size),
        after=integers(size),
        stamp=integers(size),
        error=numbers(size),
        joined=numbers(size),
        heap_cost=numbers(4 * size),
        heap_node=integers(4 * size),
        heap_stamp=integers(4 * size),
        order=integers(size),
        weight=numbers(size),
        sorted=numbers(size),
        knot_y=numbers(size),
        solve=numbers(3, size),
        signal=numbers(size),
    )


def new_emitted(chunks: int, points: int) -> Emitted:
    """Return room for so many chunks with so many points in all."""
    return Emitted(
        whole=np.zeros((chunks, EMITTED_WHOLES), np.int64),
        number=np.zeros((chunks, EMITTED_NUMBERS)),
        time_ms=np.zeros(points, np.int64),
        value=np.zeros(points),
        interp=np.zeros(points, np.uint8),
        used=np.zeros(2, np.int64),
    )

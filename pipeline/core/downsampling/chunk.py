"""A chunk of down-sampled history as a value, and what can be said of it."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from pipeline.core.compiled import Array
from pipeline.core.downsampling import state as columns
from pipeline.core.downsampling.state import Emitted


class MetricKind(IntEnum):
    """What is known of a series beforehand."""

    AUTO = 0
    GAUGE = 1
    COUNTER = 2
    STATE = 3


class SeriesClass(IntEnum):
    """What a chunk turned out to be like."""

    COUNTER = 0
    STEP = 1
    NOISY = 2
    SPIKY = 3
    SMOOTH = 4


class Encoder(IntEnum):
    """How a chunk's points were chosen."""

    HELD = 0
    """Every change: lossless."""
    LEVELS = 1
    """Piecewise-constant: means, rare extremes kept."""
    LINES = 2
    """Straight lines between samples."""
    REFITTED_LINES = 3
    """The same, the knots fitted by least squares, rare extremes kept."""
    INCREASES = 4
    """A counter's samples, between which it grows steadily."""


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """The kept points of one series between two times, and what the samples were.

    Parameters
    ----------
    row
        The series' row in its `SeriesDownsampler`.
    start_ms, end_ms
        Bounds of the chunk: the samples' times are in [start_ms, end_ms). A later emission for the same ``start_ms``
        and a greater ``revision`` replaces this one, whatever its points' times.
    first_ms, last_ms
        SilenceLimits of the first and the last sample. The last kept point holds until ``last_ms``.
    gap
        Whether samples are missing before this chunk: the value between the one before and it is unknown.
    kind, series_class, encoder
        What was known, what it is like, how it was encoded.
    n_raw, n_kept
        Samples and kept points.
    n_before
        Samples that the chunk had when it was given out before; 0 the first time.
    sigma, max_error
        Root of the mean squared residual of the decoded chunk, and its greatest absolute value; the value's unit.
    min, max, sum
        Of the samples, exactly.
    first_offset, last_offset
        All samples came at these offsets or between them.
    revision
        The greater one is right.
    times_ms, values, interp
        int64[n_kept], float64[n_kept], uint8[n_kept] (``l`` or ``s``): the kept points, times strictly increasing.
    """

    row: int
    start_ms: int
    end_ms: int
    first_ms: int
    last_ms: int
    gap: bool
    kind: MetricKind
    series_class: SeriesClass
    encoder: Encoder
    n_raw: int
    n_kept: int
    n_before: int
    sigma: float
    max_error: float
    min: float
    max: float
    sum: float
    first_offset: int
    last_offset: int
    revision: int
    times_ms: Array
    values: Array
    interp: Array

    @property
    def count(self) -> int:
        """How many samples ``sum`` is of."""
        return self.n_raw


def described(chunk: Chunk) -> dict[str, Any]:
    """Return what is known of a chunk but its points and offsets, under the names of the record of it."""
    return {
        "start_ms": chunk.start_ms,
        "end_ms": chunk.end_ms,
        "first_ms": chunk.first_ms,
        "last_ms": chunk.last_ms,
        "gap": chunk.gap,
        "kind": chunk.kind.name.lower(),
        "series_class": chunk.series_class.name.lower(),
        "encoder": chunk.encoder.name.lower(),
        "n_raw": chunk.n_raw,
        "n_kept": chunk.n_kept,
        "sigma": chunk.sigma,
        "max_error": chunk.max_error,
        "min": chunk.min,
        "max": chunk.max,
        "sum": chunk.sum,
        "count": chunk.count,
    }


def chunk_from(out: Emitted, at: int, kind: MetricKind) -> Chunk:
    """Return chunk ``at`` of what compiled code gave out, copied."""
    whole, number = out.whole[at].tolist(), out.number[at].tolist()
    points = slice(whole[columns.OUT_POINTS_FROM], whole[columns.OUT_POINTS_TO])
    return Chunk(
        row=whole[columns.OUT_ROW],
        start_ms=whole[columns.OUT_START_MS],
        end_ms=whole[columns.OUT_END_MS],
        first_ms=whole[columns.OUT_FIRST_MS],
        last_ms=whole[columns.OUT_LAST_MS],
        gap=bool(whole[columns.OUT_GAP]),
        kind=kind,
        series_class=SeriesClass(whole[columns.OUT_CLASS]),
        encoder=Encoder(whole[columns.OUT_ENCODER]),
        n_raw=whole[columns.OUT_RAW],
        n_kept=points.stop - points.start,
        n_before=whole[columns.OUT_BEFORE],
        sigma=number[columns.OUT_SIGMA],
        max_error=number[columns.OUT_MAX_ERROR],
        min=number[columns.OUT_MIN],
        max=number[columns.OUT_MAX],
        sum=number[columns.OUT_SUM],
        first_offset=whole[columns.OUT_FIRST_OFFSET],
        last_offset=whole[columns.OUT_LAST_OFFSET],
        revision=whole[columns.OUT_REVISION],
        times_ms=out.time_ms[points].copy(),
        values=out.value[points].copy(),
        interp=out.interp[points].copy(),
    )

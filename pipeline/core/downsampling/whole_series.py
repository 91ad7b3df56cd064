"""A whole series at once, as from a file: by the engine that runs live."""

from collections.abc import Sequence

import numpy as np

from pipeline.core.compiled import Array
from pipeline.core.downsampling.chunk import Chunk, MetricKind
from pipeline.core.downsampling.decode import decode
from pipeline.core.downsampling.series_downsampler import SeriesDownsampler, SeriesProfile
from pipeline.core.downsampling.state import DownsamplingRules

__all__ = ["downsample_series", "kept_points", "profile_series", "restore", "rules_of_file"]

_LONGEST_CHUNK_MS = 3650 * 86_400_000


def rules_of_file(ratio: float, chunk_points: int) -> DownsamplingRules:
    """Return the rules for a series that is all there: nothing is late, sparse ones have long chunks, no fleet."""
    return DownsamplingRules(
        ratio=ratio,
        chunk_points=chunk_points,
        longest_chunk_ms=_LONGEST_CHUNK_MS,
        grace_ms=0,
        allowed_lateness_ms=0,
        shared=False,
    )


def downsample_series(
    time_ms: Array, values: Array, rules: DownsamplingRules, kind: MetricKind = MetricKind.AUTO
) -> list[Chunk]:
    """Return the chunks of a series; parameters and errors as of `profile_series`."""
    return profile_series(time_ms, values, rules, kind)[0]


def profile_series(
    time_ms: Array, values: Array, rules: DownsamplingRules, kind: MetricKind = MetricKind.AUTO
) -> tuple[list[Chunk], SeriesProfile]:
    """Return the chunks of a series, and what it is like in the end.

    Parameters
    ----------
    time_ms, values : int64[n], float64[n]
        The samples, in any order; of those of one time the last counts. The offsets of chunks are their places.
    rules : DownsamplingRules
        How it is cut and what is kept.
    kind : MetricKind
        What is known of it.

    Raises
    ------
    ValueError
        If a rule cannot be followed, or the lengths differ.
    """
    downsampler = SeriesDownsampler(rules, rows=1)
    downsampler.start(0, kind)
    order = np.argsort(time_ms, kind="stable")
    row = np.zeros(1, np.int64)
    chunks = downsampler.add(np.zeros(len(order), np.int64), time_ms[order], values[order], order)
    chunks += downsampler.flush(row)
    return chunks, downsampler.profile(0)


def kept_points(chunks: Sequence[Chunk]) -> tuple[Array, Array, Array]:
    """Return the times, values and interp of the points of all chunks, one behind the other."""
    if not chunks:
        return np.empty(0, np.int64), np.empty(0), np.empty(0, np.uint8)
    return (
        np.concatenate([chunk.times_ms for chunk in chunks]),
        np.concatenate([chunk.values for chunk in chunks]),
        np.concatenate([chunk.interp for chunk in chunks]),
    )


def restore(chunks: Sequence[Chunk], time_ms: Array) -> Array:
    """Return what a series' chunks say of the values at times in any order, float64[n]; NaN before the first point."""
    order = np.argsort(time_ms, kind="stable")
    restored = np.empty(len(time_ms))
    restored[order] = decode(*kept_points(chunks), time_ms[order])
    return restored

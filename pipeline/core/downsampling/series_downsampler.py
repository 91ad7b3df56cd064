"""Adaptive down-sampling: about a tenth of the points of a series, with its shape, peaks, steps and totals."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pipeline.core.compiled import Array
from pipeline.core.downsampling import state as columns
from pipeline.core.downsampling.budget import FLEET
from pipeline.core.downsampling.chunk import Chunk, Encoder, MetricKind, SeriesClass, chunk_from
from pipeline.core.downsampling.decode import decode
from pipeline.core.downsampling.state import (
    KEPT_COUNT,
    LINE,
    OPEN_COUNT,
    STEP,
    DownsamplerState,
    DownsamplingRules,
    clear,
    new_emitted,
    new_scratch,
    new_series,
)
from pipeline.core.downsampling.step import add_samples, flush_rows

__all__ = [
    "LINE",
    "STEP",
    "Chunk",
    "DownsamplerState",
    "DownsamplingRules",
    "Encoder",
    "MetricKind",
    "SampleCounts",
    "SeriesClass",
    "SeriesDownsampler",
    "SeriesProfile",
    "decode",
]

_CHUNKS_AT_ONCE = 256
_POINTS_AT_ONCE = 16_384


class SampleCounts(NamedTuple):
    """Where the samples of a series are that are in no chunk that was given out."""

    late: int
    """Too late: for a chunk that is not kept any more."""
    unusable: int
    """Not finite, or beyond 1e305."""
    replaced: int
    """Another sample of the same time came later."""
    waiting: int
    """In the open chunk, or come late to the one before, which will be revised."""


class SeriesProfile(NamedTuple):
    """What a series is like, by its newest chunks: from this its encoder is chosen."""

    changes: float
    """Share of samples that differ from the one before."""
    rises: float
    """Share of changes upwards."""
    falls: float
    """Share of changes downwards that do not land near zero, as a counter's restart does."""
    integers: float
    """Share of integers."""
    correlation: float
    """Of neighbours, at most 1."""
    burst: float
    """Part of the squared deviations from the median that lies in the top 2 % of the samples."""


class SeriesDownsampler:
    """The down-sampling of many series.

    Parameters
    ----------
    rules : DownsamplingRules
        How series are cut and what may be kept of them.
    rows : int
        Room to begin with; it grows.

    Notes
    -----
    Chunks depend on the samples in their order alone, not on batches: of its own series and, while ``rules.shared``,
    by what quiet series leave to loud ones (`fleet`), of the other series beside them.

    Examples
    --------
    >>> downsampler = SeriesDownsampler(DownsamplingRules(grace_ms=0, shared=False))
    >>> times = 10_000 * np.arange(1000)
    >>> levels = np.where(times < 5_000_000, 20.0, 80.0)
    >>> chunks = downsampler.add(np.zeros(1000, np.int64), times, levels, np.arange(1000))
    >>> chunks += downsampler.flush(np.array([0]))
    >>> [(chunk.n_raw, chunk.n_kept, chunk.max_error) for chunk in chunks]
    [(360, 1, 0.0), (360, 2, 0.0), (280, 1, 0.0)]
    """

    def __init__(self, rules: DownsamplingRules | None = None, rows: int = 16) -> None:
        self.rules = checked(DownsamplingRules() if rules is None else rules)
        room = self.rules.room
        self._series = new_series(rows, room)
        self._fleet = np.zeros(FLEET)
        self._scratch = new_scratch(room)
        self._out = new_emitted(room + _CHUNKS_AT_ONCE, 4 * room + _POINTS_AT_ONCE)

    @property
    def rows(self) -> int:
        """How many rows there is room for."""
        return len(self._series.whole)

    @property
    def bytes_a_series(self) -> int:
        """What one series takes in memory."""
        return sum(column[:1].nbytes for column in self._series)

    @property
    def fleet(self) -> Array:
        """A copy of what quiet series left to loud ones, for a checkpoint; settable."""
        return self._fleet.copy()

    @fleet.setter
    def fleet(self, sums: Array) -> None:
        if sums.shape != (FLEET,) or sums.dtype != np.float64:
            raise ValueError(f"fleet must be float64[{FLEET}], got {sums.dtype}{list(sums.shape)}")
        self._fleet[:] = sums

    @property
    def watermark_ms(self) -> Array:
        """The newest event time of each row, int64; far below zero where there was none."""
        return self._series.whole[:, columns.WATERMARK_MS]

    def grow(self, rows: int) -> None:
        """Make room for ``rows`` series, those that are there kept."""
        if rows <= self.rows:
            return
        larger = new_series(max(rows, 2 * self.rows), self.rules.room)
        for new, old in zip(larger, self._series, strict=True):
            new[: len(old)] = old
        self._series = larger

    def start(self, row: int, kind: MetricKind = MetricKind.AUTO) -> None:
        """Begin a series in a row: whatever was there is forgotten, and room is made."""
        self.grow(row + 1)
        clear(self._series, row)
        self._series.whole[row, columns.KIND] = kind

    def add(self, rows: Array, time_ms: Array, values: Array, offsets: Array) -> list[Chunk]:
        """Take samples, and return the chunks that they ended or, being late, changed.

        Parameters
        ----------
        rows : int64[n]
            The series' rows, below :attr:`rows`; a row may come more than once.
        time_ms : int64[n]
            Event times, in milliseconds since 1970.
        values : float64[n]
            The samples, in any unit.
        offsets : int64[n]
            The records that they came in.

        Raises
        ------
        ValueError
            If the lengths differ, or a row is out of range.
        """
        samples = (
            self._checked_rows(rows),
            np.ascontiguousarray(time_ms, np.int64),
            np.ascontiguousarray(values, np.float64),
            np.ascontiguousarray(offsets, np.int64),
        )
        lengths = [len(column) for column in samples]
        if len(set(lengths)) != 1:
            raise ValueError(f"rows, time_ms, values and offsets must be of one length, got {lengths}")
        chunks: list[Chunk] = []
        at = 0
        while at < lengths[0]:
            at = add_samples(at, *samples, self._series, self._fleet, self.rules, self._out, self._scratch)
            chunks.extend(self._drained())
        return chunks

    def flush(self, rows: Array) -> list[Chunk]:
        """End the open chunks of some series: those of silent ones, or all at the end of a file."""
        rows = self._checked_rows(rows)
        chunks: list[Chunk] = []
        at = 0
        while at < len(rows):
            at = flush_rows(at, rows, self._series, self._fleet, self.rules, self._out, self._scratch)
            chunks.extend(self._drained())
        return chunks

    def silent(self, before_ms: int) -> Array:
        """Return the rows that `flush` has something to do for and whose newest sample is before a time, int64."""
        whole = self._series.whole
        waiting = (whole[:, OPEN_COUNT] > 0) | (whole[:, columns.KEPT_CHANGED] > 0)
        return np.flatnonzero(waiting & (whole[:, columns.WATERMARK_MS] < before_ms))

    def counts(self, row: int) -> SampleCounts:
        """Return where the samples of a series are that are in no chunk that was given out."""
        return self._counts(slice(row, row + 1))

    def profile(self, row: int) -> SeriesProfile:
        """Return what a series is like, as far as its chunks have shown."""
        names = (columns.CHANGES, columns.RISES, columns.FALLS, columns.INTEGERS, columns.CORRELATION, columns.BURST)
        return SeriesProfile(*(float(self._series.number[row, column]) for column in names))

    def totals(self, rows: int) -> SampleCounts:
        """Return the sum of `counts` over the first rows."""
        return self._counts(slice(rows))

    def live(self, rows: int) -> DownsamplerState:
        """Return the live state of the first rows, to be copied before the next sample is added."""
        return DownsamplerState(*(column[:rows] for column in self._series))

    def keep(self, rows: Array) -> None:
        """Forget all series but some, which become the first rows in their order."""
        state = self.snapshot(rows)
        self._series = new_series(max(len(rows), 1), self.rules.room)
        self.restore(np.arange(len(rows)), state)

    def snapshot(self, rows: Array) -> DownsamplerState:
        """Return a copy of the state of some series."""
        rows = self._checked_rows(rows)
        return DownsamplerState(*(column[rows] for column in self._series))

    def restore(self, rows: Array, state: DownsamplerState) -> None:
        """Set some series to a state that `snapshot` returned under the same rules; room is made for them.

        Raises
        ------
        ValueError
            If an array's shape or type is not that of the state of as many series, or a count is impossible.
        """
        if len(rows):
            self.grow(int(np.max(rows)) + 1)
        rows = self._checked_rows(rows)
        for name, mine, given in zip(DownsamplerState._fields, self._series, state, strict=True):
            expected = (len(rows), *mine.shape[1:])
            if given.shape != expected or given.dtype != mine.dtype:
                raise ValueError(f"{name} must be {mine.dtype}{expected}, got {given.dtype}{given.shape}")
        kept, opened, settled = (state.whole[:, k] for k in (KEPT_COUNT, OPEN_COUNT, columns.SETTLED))
        room = self.rules.room
        if ((kept < 0) | (kept > room) | (settled < 0) | (settled > opened) | (opened > room - kept)).any():
            raise ValueError(f"the samples of a series must be counted within its room of {room}")
        for mine, given in zip(self._series, state, strict=True):
            mine[rows] = given

    def _counts(self, rows: slice) -> SampleCounts:
        sums = self._series.whole[rows].sum(axis=0).tolist()
        waiting = sums[OPEN_COUNT] + sums[KEPT_COUNT] - sums[columns.KEPT_GIVEN]
        return SampleCounts(sums[columns.LATE], sums[columns.UNUSABLE], sums[columns.REPLACED], waiting)

    def _checked_rows(self, rows: Array) -> Array:
        rows = np.ascontiguousarray(rows, np.int64)
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.rows:
            raise ValueError(f"rows must be 0 to {self.rows - 1}, got {rows.min()} to {rows.max()}")
        return rows

    def _drained(self) -> Iterator[Chunk]:
        """Yield the emitted chunks, and make their room free."""
        out = self._out
        for at in range(int(out.used[0])):
            yield chunk_from(out, at, MetricKind(self._series.whole[out.whole[at, columns.OUT_ROW], columns.KIND]))
        out.used[:] = 0


def checked(rules: DownsamplingRules) -> DownsamplingRules:
    """Return rules that can be followed.

    Raises
    ------
    ValueError
        If one cannot; the message names it.
    """
    if not 0 < rules.ratio <= 1:
        raise ValueError(f"ratio must be above 0 and at most 1, got {rules.ratio}")
    if not 8 <= rules.chunk_points <= 4096:
        raise ValueError(f"chunk_points must be 8 to 4096, got {rules.chunk_points}")
    if not 0 < rules.chunk_ms <= rules.longest_chunk_ms:
        raise ValueError(f"chunk_ms must be above 0 and at most longest_chunk_ms, got {rules.chunk_ms}")
    if rules.grace_ms < 0 or rules.allowed_lateness_ms < 0:
        raise ValueError(
            f"grace_ms and allowed_lateness_ms must be at least 0, got {rules.grace_ms}, {rules.allowed_lateness_ms}"
        )
    return rules

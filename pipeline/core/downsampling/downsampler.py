"""One partition's down-sampling: records in, records of chunks out, and its whole state for a snapshot."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import orjson

from pipeline.core.compiled import Array
from pipeline.core.downsampling.chunk import described
from pipeline.core.downsampling.series_downsampler import (
    Chunk,
    DownsamplerState,
    DownsamplingRules,
    MetricKind,
    SampleCounts,
    SeriesDownsampler,
)
from pipeline.core.records.identity.interning import grown
from pipeline.core.records.identity.raw_samples import RawSamples, SeriesName
from pipeline.core.records.telegraf.parser import ParseOptions, RecordBatch
from pipeline.core.snapshots.snapshot import Snapshot
from schemas.reasons import FilterReason
from schemas.records import SCHEMA_VERSION

STATE_VERSION: Final = 1
"""Of what `PartitionDownsampler.snapshot` returns."""
_FORGET_SHARE: Final = 8
"""Forgotten are dead series when they are one of so many: the others move together for it."""


class SilenceLimits(NamedTuple):
    """When a series counts as silent by the clock, in milliseconds since it was heard."""

    idle_close_ms: int = 7_200_000
    """Its open chunk ends."""
    expire_after_ms: int = 7 * 86_400_000
    """It is forgotten."""


class DownsamplingBalance(NamedTuple):
    """Where the samples of a partition went since it was taken over.

    ``parsed == encoded + waiting + late + replaced + filtered[OVERFLOW]`` at any time between two calls.
    """

    parsed: int
    encoded: int
    """In chunks that were given out."""
    waiting: int
    """In open chunks."""
    late: int
    replaced: int
    """Samples of a time for which another one came later."""
    chunks: int
    revised: int
    """Chunks given out again."""
    kept_points: int
    refused: int
    """Records or lines of them that hold no samples: ``aggregate`` dead-letters them."""
    filtered: Mapping[FilterReason, int]
    expired_series: int


@dataclass(slots=True)
class ChunkOutput:
    """Records for ``metrics.downsampled``: each one's resource, and its JSON (`schemas.downsampled`)."""

    keys: list[bytes] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)


class PartitionDownsampler:
    """Down-samples the series of one partition.

    Parameters
    ----------
    partition
        Number of the partition, written into every record.
    rules, times
        How chunks are cut and encoded, and what silence does.
    kind_of
        What is known of (measurement, field) beforehand.
    options
        What is accepted as input.
    snapshot
        Where an earlier owner left off; None for a fresh start. Reading goes on at ``snapshot.offset``.

    Raises
    ------
    ValueError
        If the snapshot is not of this shape, or of other rules.

    Examples
    --------
    >>> from pipeline.core.records.telegraf.parser import batch_of
    >>> lines = [b"cpu,host=a v=%d %d000000000" % (i % 3, 1_000_000_000 + 10 * i) for i in range(400)]
    >>> downsampler = PartitionDownsampler(0, DownsamplingRules(), lambda measurement, field: MetricKind.GAUGE)
    >>> output = downsampler.add(batch_of(lines, 0), 0, 400, now_ms=1_000_004_000_000)
    >>> output.keys
    [b'a']
    >>> output.values[0][:86]
    b'{"schema_version":1,"measurement":"cpu","field":"v","tags":{"host":"a"},"partition":0,'
    """

    def __init__(
        self,
        partition: int,
        rules: DownsamplingRules,
        kind_of: Callable[[str, str], MetricKind],
        options: ParseOptions | None = None,
        *,
        times: SilenceLimits | None = None,
        snapshot: Snapshot | None = None,
    ) -> None:
        self.partition = partition
        self._kind_of = kind_of
        self._options = options or ParseOptions()
        self._times = times or SilenceLimits()
        self._downsampler = SeriesDownsampler(rules)
        self._raw = RawSamples(self._options)
        self._heard_ms = np.zeros(0, np.int64)
        self._started = 0
        self._parsed = self._encoded = self._chunks = self._revised = self._kept = self._refused = self._expired = 0
        self._gone = np.zeros(len(SampleCounts._fields), np.int64)
        self._filtered_before = dict.fromkeys(FilterReason, 0)
        if snapshot is not None:
            self._restore(snapshot)
        self._at_start = self._totals()

    @property
    def series_count(self) -> int:
        """Series known."""
        return self._started

    @property
    def balance(self) -> DownsamplingBalance:
        """Where the samples went."""
        late, unusable, replaced, waiting = (self._totals() - self._at_start).tolist()
        return DownsamplingBalance(
            parsed=self._parsed,
            encoded=self._encoded,
            waiting=waiting,
            late=late,
            replaced=replaced,
            chunks=self._chunks,
            revised=self._revised,
            kept_points=self._kept,
            refused=self._refused,
            filtered={
                reason: self._filtered_before[reason] + count + (unusable if reason is FilterReason.OVERFLOW else 0)
                for reason, count in self._raw.filtered.items()
            },
            expired_series=self._expired,
        )

    def add(self, batch: RecordBatch, first: int, last: int, now_ms: int) -> ChunkOutput:
        """Take records ``first`` to ``last`` of a batch; return the chunks that they ended or changed.

        Parameters
        ----------
        batch
            Records of this partition, at offsets above those of any call before.
        first, last
            Half-open range of records.
        now_ms
            The clock, UTC milliseconds: bounds timestamps that lie ahead, and notes when a series was heard.
        """
        output = ChunkOutput()
        for samples in self._raw.read(batch, first, last, now_ms):
            self._start_new()
            self._heard_ms[samples.series] = now_ms
            self._parsed += len(samples.series)
            self._write(self._downsampler.add(samples.series, samples.time_ms, samples.value, samples.offset), output)
        self._refused += len(self._raw.refused)
        self._raw.refused.clear()
        return output

    def rest(self, now_ms: int) -> ChunkOutput:
        """End chunks of series that are silent by the clock, and forget dead ones; call it while no input waits."""
        output = ChunkOutput()
        heard_ms = self._heard_ms[: self._started]
        silent = np.flatnonzero(heard_ms < now_ms - self._times.idle_close_ms)
        if len(silent):
            self._write(self._downsampler.flush(silent), output)
            dead = heard_ms < now_ms - self._times.expire_after_ms
            if int(dead.sum()) * _FORGET_SHARE > self._started:
                self._forget(dead)
        return output

    def finish(self) -> ChunkOutput:
        """End every open chunk: the input has ended."""
        output = ChunkOutput()
        self._write(self._downsampler.flush(np.arange(self._started)), output)
        return output

    def snapshot(self, next_offset: int) -> Snapshot:
        """Return all there is, after the records before ``next_offset``; the arrays are live, to be copied at once."""
        return Snapshot(
            next_offset,
            {
                "names": orjson.dumps([list(name) for name in self._raw.names]),
                "rules": _rules_text(self._downsampler.rules),
            },
            {
                "heard_ms": self._heard_ms[: self._started],
                "fleet": self._downsampler.fleet,
                **self._downsampler.live(self._started)._asdict(),
            },
        )

    def _restore(self, snapshot: Snapshot) -> None:
        if snapshot.records["rules"] != _rules_text(self._downsampler.rules):
            raise ValueError("the snapshot was made under other settings of down-sampling")
        names = [SeriesName(*name) for name in orjson.loads(snapshot.records["names"])]
        arrays = dict(snapshot.arrays)
        heard_ms, self._downsampler.fleet = arrays.pop("heard_ms"), arrays.pop("fleet")
        self._downsampler.restore(np.arange(len(heard_ms)), DownsamplerState(**arrays))
        self._adopt(names, heard_ms)

    def _adopt(self, names: Sequence[SeriesName], heard_ms: Array) -> None:
        """Go on with series whose rows the downsampler has already."""
        for reason, count in self._raw.filtered.items():
            self._filtered_before[reason] += count
        self._raw = RawSamples(self._options, names)
        self._heard_ms = np.array(heard_ms, np.int64)
        self._started = len(names)

    def _start_new(self) -> None:
        """Begin the series that were first heard of."""
        names = self._raw.names
        self._heard_ms = grown(self._heard_ms, len(names))
        for row in range(self._started, len(names)):
            self._downsampler.start(row, self._kind_of(names[row].measurement, names[row].field))
        self._started = len(names)

    def _forget(self, dead: Array) -> None:
        """Leave dead series out; the others move up, in their order."""
        before = self._totals()
        alive = np.flatnonzero(~dead)
        self._expired += self._started - len(alive)
        self._downsampler.keep(alive)
        names = self._raw.names
        self._adopt([names[row] for row in alive.tolist()], self._heard_ms[alive])
        self._gone += before - self._totals()

    def _totals(self) -> Array:
        """Return the sums of all series' `SampleCounts`, those that are forgotten included."""
        return self._gone + np.array(self._downsampler.totals(self._started), np.int64)

    def _write(self, chunks: Iterable[Chunk], output: ChunkOutput) -> None:
        for chunk in chunks:
            name = self._raw.names[chunk.row]
            output.keys.append(name.resource.encode())
            output.values.append(_record(name, self.partition, chunk))
            self._encoded += chunk.n_raw - chunk.n_before
            self._chunks += 1
            self._revised += chunk.n_before > 0
            self._kept += chunk.n_kept


def _rules_text(rules: DownsamplingRules) -> bytes:
    """Return rules as snapshots have them, where the allowed lateness is still called a correction."""
    text = rules._asdict()
    names = {"allowed_lateness_ms": "correction_ms"}
    return orjson.dumps({names.get(name, name): value for name, value in text.items()})


def _record(name: SeriesName, partition: int, chunk: Chunk) -> bytes:
    """Return the record of a chunk (`schemas.downsampled.DownsampledChunk`)."""
    interp = chunk.interp.tobytes().decode("ascii")
    return orjson.dumps(
        {
            "schema_version": SCHEMA_VERSION,
            "measurement": name.measurement,
            "field": name.field,
            "tags": name.tags,
            "partition": partition,
            **described(chunk),
            "first_offset": chunk.first_offset,
            "last_offset": chunk.last_offset,
            "revision": chunk.revision,
            "points": list(zip(chunk.times_ms.tolist(), chunk.values.tolist(), interp, strict=True)),
        }
    )

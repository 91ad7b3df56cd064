"""``metrics.raw`` → chunks of kept points → ``metrics.downsampled``: one down-sampler a partition, with snapshots."""

import time
from dataclasses import dataclass

import topics
from pipeline.core.downsampling.downsampler import STATE_VERSION, ChunkOutput, PartitionDownsampler, SilenceLimits
from pipeline.core.downsampling.series_downsampler import DownsamplingRules, MetricKind
from pipeline.core.records.kafka.columns import RecordColumns
from pipeline.runtime.observability.metrics import Metrics
from pipeline.runtime.state.snapshots import Snapshot
from pipeline.settings.base import to_ms
from pipeline.settings.model import Settings
from pipeline.stages.downsample.metrics import DownsampleFamilies, DownsampleMetrics
from pipeline.stages.downsample.settings import DownsampleSettings
from pipeline.stages.partitioned import PartitionedStage
from pipeline.stages.raw_input import keyed_records, parse_options
from pipeline.stages.spec import Group
from schemas.catalogue import Catalogue, load_catalogue

STAGE = "downsample"
REST_EVERY_S = 5.0
"""How often silent series are looked for."""


def downsampling_rules(settings: Settings) -> DownsamplingRules:
    """Return the rules that the settings describe."""
    chosen = settings[DownsampleSettings]
    return DownsamplingRules(
        ratio=chosen.ratio,
        chunk_ms=to_ms(chosen.chunk_s),
        longest_chunk_ms=max(to_ms(chosen.chunk_s), DownsamplingRules().longest_chunk_ms),
        chunk_points=chosen.chunk_points,
        grace_ms=to_ms(chosen.grace_s),
        allowed_lateness_ms=to_ms(chosen.allowed_lateness_s),
    )


def kind_of(catalogue: Catalogue, measurement: str, field: str) -> MetricKind:
    """Return what the metric catalogue knows of a field."""
    metric = catalogue.find(measurement, field)
    return MetricKind.AUTO if metric is None else MetricKind[metric.kind.upper()]


@dataclass(slots=True)
class _Partition:
    """What the stage knows of one partition."""

    downsampler: PartitionDownsampler
    metrics: DownsampleMetrics
    next_offset: int = 0
    caught_up: bool = False

    def snapshot(self) -> Snapshot:
        """Return its state as it is now."""
        return self.downsampler.snapshot(self.next_offset)


class DownsampleStage(PartitionedStage[_Partition]):
    """Keeps about a tenth of the points of every series, with peaks, steps and totals.

    Parameters
    ----------
    settings, metrics
        Of the process.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        chosen = settings[DownsampleSettings]
        group = Group(STAGE, topics.METRICS_RAW)
        super().__init__(group, STATE_VERSION, settings, metrics, interval_s=chosen.snapshot_interval_s)
        self._families = DownsampleFamilies(metrics)
        self._rules = downsampling_rules(settings)
        self._times = SilenceLimits(to_ms(chosen.idle_close_s), to_ms(chosen.expire_after_s))
        self._options = parse_options(settings)
        self._catalogue = load_catalogue()
        self._rested_s = 0.0

    async def process(self, columns: RecordColumns) -> None:
        """Add a fetch's records, and queue the chunks that they end; what has no key comes again with one."""
        now_ms = time.time_ns() // 1_000_000
        partition = self._partitions[columns.partition]
        batch = keyed_records(columns)
        self._send(partition.downsampler.add(batch, 0, len(batch.offset), now_ms))
        partition.next_offset = max(partition.next_offset, columns.next_offset)
        partition.caught_up = columns.next_offset >= columns.high_watermark
        partition.metrics.update(partition.downsampler, len(columns))

    async def tick(self, now_ms: int) -> None:
        """End chunks of silent series, commit what is saved, and save what is due."""
        now_s = time.monotonic()
        if now_s - self._rested_s >= REST_EVERY_S:
            self._rested_s = now_s
            for _, partition in self._partitions:
                if partition.caught_up:
                    self._send(partition.downsampler.rest(now_ms))
                    partition.metrics.update(partition.downsampler, 0)
        await self._partitions.save(self._context)

    def _partition(self, number: int, snapshot: Snapshot | None) -> _Partition:
        downsampler = PartitionDownsampler(
            number,
            self._rules,
            lambda measurement, field: kind_of(self._catalogue, measurement, field),
            self._options,
            times=self._times,
            snapshot=snapshot,
        )
        next_offset = 0 if snapshot is None else snapshot.offset
        return _Partition(downsampler, DownsampleMetrics(self._families, number, downsampler), next_offset)

    def _send(self, output: ChunkOutput) -> None:
        if output.values:
            self._producer.produce_many(topics.METRICS_DOWNSAMPLED, output.keys, output.values)

"""What the stage ``downsample`` counts, partition by partition."""

from typing import TYPE_CHECKING

import topics
from pipeline.runtime.observability.metrics import OF_PARTITION, Metrics
from schemas.reasons import FilterReason

if TYPE_CHECKING:
    from pipeline.core.downsampling.downsampler import PartitionDownsampler


class DownsampleFamilies:
    """What the stage ``downsample`` alone counts.

    Parameters
    ----------
    metrics
        Of the process.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.common = metrics
        counter = metrics.counter
        self.downsampled_samples = counter(
            "downsampled_samples", "Samples in chunks that were given out.", OF_PARTITION
        )
        self.replaced_samples = counter("replaced_samples", "Samples whose time another one has.", OF_PARTITION)
        self.downsampled_chunks = counter("downsampled_chunks", "Chunks given out, revised ones again.", OF_PARTITION)
        self.revised_chunks = counter("revised_chunks", "Chunks given out again after late samples.", OF_PARTITION)
        self.kept_points = counter("kept_points", "Points in the chunks that were given out.", OF_PARTITION)


class DownsampleMetrics:
    """The sample balance of one partition as Prometheus metrics."""

    def __init__(self, families: DownsampleFamilies, number: int, downsampler: "PartitionDownsampler") -> None:
        labels = ("downsample", topics.METRICS_RAW, str(number))
        common = families.common
        self._before = downsampler.balance
        self._input_records = common.input_records.labels(*labels)
        self._batch_records = common.batch_records.labels("downsample")
        self._counters = {
            "parsed": common.input_samples.labels(*labels),
            "encoded": families.downsampled_samples.labels(*labels),
            "late": common.too_late_samples.labels(*labels),
            "replaced": families.replaced_samples.labels(*labels),
            "chunks": families.downsampled_chunks.labels(*labels),
            "revised": families.revised_chunks.labels(*labels),
            "kept_points": families.kept_points.labels(*labels),
            "expired_series": common.expired_series.labels(*labels),
        }
        self._filtered = {reason: common.filtered_samples.labels(*labels, reason) for reason in FilterReason}
        self._open_samples = common.open_samples.labels(*labels)
        self._series = common.series.labels(*labels)

    def update(self, downsampler: "PartitionDownsampler", records: int) -> None:
        """Count what happened since the last call, which was about so many records."""
        balance, before = downsampler.balance, self._before
        self._before = balance
        for name, counter in self._counters.items():
            counter.inc(getattr(balance, name) - getattr(before, name))
        for reason, counter in self._filtered.items():
            counter.inc(balance.filtered[reason] - before.filtered[reason])
        self._open_samples.set(balance.waiting)
        self._series.set(downsampler.series_count)
        if records:
            self._input_records.inc(records)
            self._batch_records.observe(records)

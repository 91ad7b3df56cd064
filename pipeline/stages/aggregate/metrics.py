"""The sample balance of the aggregate stage, partition by partition, as Prometheus metrics."""

from typing import TYPE_CHECKING

import topics
from pipeline.runtime.observability.metrics import OF_PARTITION, Metrics

if TYPE_CHECKING:
    from pipeline.core.windows.aggregator import PartitionAggregator
    from pipeline.core.windows.output import WindowBalance

STAGE = "aggregate"


class AggregateFamilies:
    """What the stage ``aggregate`` alone counts.

    For each partition, between two fetches: input samples = aggregated + late + too late + open samples; a sample is
    aggregated when its window is emitted. Fields that are no samples are counted beside them, by reason.

    Parameters
    ----------
    metrics
        Of the process.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.common = metrics
        counter, gauge = metrics.counter, metrics.gauge
        self.aggregated_samples = counter("aggregated_samples", "Samples in windows that were emitted.", OF_PARTITION)
        self.late_samples = counter("late_samples", "Samples that corrected a closed window.", OF_PARTITION)
        self.rekeyed_records = counter(
            "rekeyed_records", "Records without a key, produced again with one.", OF_PARTITION
        )
        self.empty_records = counter("empty_records", "Records without any metric: blank or comments.", OF_PARTITION)
        self.misplaced_resources = counter(
            "misplaced_resources", "Resources found in a second partition: their windows come in halves.", ("stage",)
        )
        self.emitted_windows = counter("emitted_windows", "Windows emitted for the first time.", OF_PARTITION)
        self.corrected_windows = counter(
            "corrected_windows", "Windows emitted again after a late sample.", OF_PARTITION
        )
        self.open_windows = gauge("open_windows", "Windows not yet emitted.", OF_PARTITION)


class AggregateMetrics:
    """Shows what an aggregator counts for one partition.

    Parameters
    ----------
    families
        Of the stage.
    partition
        Its number.
    balance
        The aggregator's balance when the stage took the partition over: only what comes on top is counted.
    """

    def __init__(self, families: AggregateFamilies, partition: int, balance: "WindowBalance") -> None:
        labels = (STAGE, topics.METRICS_RAW, str(partition))
        common = families.common
        self._before = balance
        self._filtered = {reason: common.filtered_samples.labels(*labels, reason) for reason in balance.filtered}
        self._batch_records = common.batch_records.labels(STAGE)
        self._input_records = common.input_records.labels(*labels)
        self._counters = {
            "parsed": common.input_samples.labels(*labels),
            "aggregated": families.aggregated_samples.labels(*labels),
            "late": families.late_samples.labels(*labels),
            "too_late": common.too_late_samples.labels(*labels),
            "empty_records": families.empty_records.labels(*labels),
            "windows_emitted": families.emitted_windows.labels(*labels),
            "corrections": families.corrected_windows.labels(*labels),
        }
        self._open_samples = common.open_samples.labels(*labels)
        self._open_windows = families.open_windows.labels(*labels)
        self._series = common.series.labels(*labels)
        self._lag_s = common.lag_seconds.labels(*labels)
        self._watermark_age_s = common.watermark_age_seconds.labels(*labels)

    def update(
        self, aggregator: "PartitionAggregator", records: int, newest_record_ms: int | None, now_ms: int
    ) -> None:
        """Count what happened since the last call.

        Parameters
        ----------
        aggregator
            The partition's.
        records
            How many records the call was about, 0 for none.
        newest_record_ms
            Kafka's time of the newest of them.
        now_ms
            The clock.
        """
        balance, before = aggregator.balance, self._before
        self._before = balance
        for name, counter in self._counters.items():
            grown = getattr(balance, name) - getattr(before, name)
            if grown > 0:
                counter.inc(grown)
        for reason, count in balance.filtered.items():
            grown = count - before.filtered[reason]
            if grown > 0:
                self._filtered[reason].inc(grown)
        self._open_samples.set(balance.open_samples)
        self._open_windows.set(balance.open_windows)
        self._series.set(aggregator.series_count)
        if records:
            self._input_records.inc(records)
            self._batch_records.observe(records)
        if newest_record_ms is not None:
            self._lag_s.set(max(0.0, (now_ms - newest_record_ms) / 1000))
        if aggregator.newest_time_ms is not None:
            self._watermark_age_s.set(max(0.0, (now_ms - aggregator.newest_time_ms) / 1000))

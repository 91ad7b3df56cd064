"""The sample balance of the aggregate stage, partition by partition, as Prometheus metrics."""

import topics
from pipeline.core.windows.aggregator import Balance, PartitionAggregator
from pipeline.runtime.observability.metrics import Metrics

STAGE = "aggregate"


class AggregateMetrics:
    """Shows what an aggregator counts for one partition.

    Parameters
    ----------
    metrics
        Of the process.
    partition
        Its number.
    balance
        The aggregator's balance when the stage took the partition over: only what comes on top is counted.
    """

    def __init__(self, metrics: Metrics, partition: int, balance: Balance) -> None:
        labels = (STAGE, topics.METRICS_RAW, str(partition))
        self._before = balance
        self._filtered = {reason: metrics.filtered_samples.labels(*labels, reason) for reason in balance.filtered}
        self._batch_records = metrics.batch_records.labels(STAGE)
        self._input_records = metrics.input_records.labels(*labels)
        self._counters = {
            "parsed": metrics.input_samples.labels(*labels),
            "aggregated": metrics.aggregated_samples.labels(*labels),
            "late": metrics.late_samples.labels(*labels),
            "too_late": metrics.too_late_samples.labels(*labels),
            "empty_records": metrics.empty_records.labels(*labels),
            "windows_emitted": metrics.emitted_windows.labels(*labels),
            "corrections": metrics.corrected_windows.labels(*labels),
        }
        self._open_samples = metrics.open_samples.labels(*labels)
        self._open_windows = metrics.open_windows.labels(*labels)
        self._series = metrics.series.labels(*labels)
        self._lag_s = metrics.lag_seconds.labels(*labels)
        self._watermark_age_s = metrics.watermark_age_seconds.labels(*labels)

    def update(self, aggregator: PartitionAggregator, records: int, newest_record_ms: int | None, now_ms: int) -> None:
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

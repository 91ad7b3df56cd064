"""What detection makes of its records, partition by partition, as Prometheus metrics."""

import topics
from pipeline.core.detection.detector import DetectionBalance, PartitionDetector
from pipeline.runtime.observability.metrics import Metrics

STAGE = "detect"


class DetectMetrics:
    """Shows what one partition's detection counts, from the moment that it is made.

    Parameters
    ----------
    metrics
        Of the process.
    partition
        Its number.
    """

    def __init__(self, metrics: Metrics, partition: int) -> None:
        self._metrics = metrics
        self._labels = (STAGE, topics.METRICS_AGG, str(partition))
        self._started = self._ended = 0

    def update(
        self, detector: PartitionDetector, *, records: int = 0, newest_record_ms: int | None = None, now_ms: int
    ) -> None:
        """Count what happened since the last call.

        Parameters
        ----------
        detector
            The partition's; its balance is set to 0.
        records
            How many records the call was about.
        newest_record_ms
            Kafka's time of the newest of them.
        now_ms
            The clock.
        """
        metrics, labels = self._metrics, self._labels
        balance, detector.balance = detector.balance, DetectionBalance()
        metrics.input_records.labels(*labels).inc(balance.records)
        metrics.judged_windows.labels(*labels).inc(balance.scored_windows)
        metrics.judged_samples.labels(*labels).inc(balance.scored_samples)
        for reason, count in balance.unscored_windows.items():
            metrics.unjudged_windows.labels(*labels, reason.value).inc(count)
        for reason, count in balance.unscored_samples.items():
            metrics.unjudged_samples.labels(*labels, reason.value).inc(count)
        for (kind, level), count in balance.anomalies.items():
            metrics.anomalies.labels(STAGE, kind, level).inc(count)
        table = detector.table
        metrics.started_series.labels(*labels).inc(table.started - self._started)
        metrics.expired_series.labels(*labels).inc(table.ended - self._ended)
        self._started, self._ended = table.started, table.ended
        metrics.series.labels(*labels).set(table.series_count)
        if records:
            metrics.batch_records.labels(STAGE).observe(records)
        if newest_record_ms is not None:
            metrics.lag_seconds.labels(*labels).set(max(0.0, (now_ms - newest_record_ms) / 1000))
        if detector.time_ms:
            metrics.watermark_age_seconds.labels(*labels).set(max(0.0, (now_ms - detector.time_ms) / 1000))

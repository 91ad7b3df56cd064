"""What detection makes of its records, partition by partition, as Prometheus metrics."""

from typing import TYPE_CHECKING

import topics
from pipeline.runtime.observability.metrics import OF_PARTITION, Metrics

if TYPE_CHECKING:
    from pipeline.core.detection.detector import PartitionDetector

STAGE = "detect"


class DetectFamilies:
    """What the stage ``detect`` alone counts.

    Parameters
    ----------
    metrics
        Of the process.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.common = metrics
        counter = metrics.counter
        self.scored_windows = counter("scored_windows", "Windows with values that were scored.", OF_PARTITION)
        self.unscored_windows = counter("unscored_windows", "Windows left out, by reason.", (*OF_PARTITION, "reason"))
        self.scored_samples = counter("scored_samples", "Values scored.", OF_PARTITION)
        self.unscored_samples = counter(
            "unscored_samples", "Watched values of scored windows left out, by reason.", (*OF_PARTITION, "reason")
        )
        self.anomalies = counter(
            "anomalies", "Records of detection written; level none for samples and ends.", ("stage", "kind", "level")
        )
        self.started_series = counter("started_series", "Series that began to be scored.", OF_PARTITION)


class DetectMetrics:
    """Shows what one partition's detection counts, from the moment that it is made.

    Parameters
    ----------
    families
        Of the stage.
    partition
        Its number.
    """

    def __init__(self, families: DetectFamilies, partition: int) -> None:
        self._families = families
        self._labels = (STAGE, topics.METRICS_AGG, str(partition))
        self._started = self._ended = 0

    def update(
        self, detector: "PartitionDetector", *, records: int = 0, newest_record_ms: int | None = None, now_ms: int
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
        families, common, labels = self._families, self._families.common, self._labels
        balance = detector.balance
        detector.balance = type(balance)()
        common.input_records.labels(*labels).inc(balance.records)
        families.scored_windows.labels(*labels).inc(balance.scored_windows)
        families.scored_samples.labels(*labels).inc(balance.scored_samples)
        for reason, count in balance.unscored_windows.items():
            families.unscored_windows.labels(*labels, reason.value).inc(count)
        for reason, count in balance.unscored_samples.items():
            families.unscored_samples.labels(*labels, reason.value).inc(count)
        for (kind, level), count in balance.anomalies.items():
            families.anomalies.labels(STAGE, kind, level).inc(count)
        table = detector.table
        families.started_series.labels(*labels).inc(table.started - self._started)
        common.expired_series.labels(*labels).inc(table.ended - self._ended)
        self._started, self._ended = table.started, table.ended
        common.series.labels(*labels).set(table.series_count)
        if records:
            common.batch_records.labels(STAGE).observe(records)
        if newest_record_ms is not None:
            common.lag_seconds.labels(*labels).set(max(0.0, (now_ms - newest_record_ms) / 1000))
        if detector.time_ms:
            common.watermark_age_seconds.labels(*labels).set(max(0.0, (now_ms - detector.time_ms) / 1000))

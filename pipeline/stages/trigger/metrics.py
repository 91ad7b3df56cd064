"""What triggers make of their records, partition by partition, as Prometheus metrics."""

from collections.abc import Sequence

from pipeline.core.records.kafka.columns import RecordColumns
from pipeline.core.triggers.evaluator import PolicyEvaluator, TriggerCounts
from pipeline.runtime.observability.metrics import Metrics
from schemas.alert import AlertEvent


class TriggerMetrics:
    """Shows what one partition's triggers count.

    Parameters
    ----------
    metrics
        Of the process.
    stage, topic, partition
        Whose they are.
    """

    def __init__(self, metrics: Metrics, stage: str, topic: str, partition: int) -> None:
        self._metrics = metrics
        self._stage = stage
        self._labels = (stage, topic, str(partition))
        self._counted = TriggerCounts(0, 0)

    def update(self, evaluator: PolicyEvaluator, columns: RecordColumns, now_ms: int) -> None:
        """Count a fetch that was evaluated."""
        metrics, labels, counts = self._metrics, self._labels, evaluator.counts
        metrics.input_records.labels(*labels).inc(len(columns))
        metrics.evaluations.labels(*labels).inc(counts.evaluations - self._counted.evaluations)
        metrics.late_evaluations.labels(*labels).inc(counts.late - self._counted.late)
        self._counted = counts
        self.show(evaluator)
        if len(columns):
            metrics.batch_records.labels(self._stage).observe(len(columns))
            metrics.lag_seconds.labels(*labels).set(max(0.0, (now_ms - int(columns.timestamp_ms[-1])) / 1000))

    def show(self, evaluator: PolicyEvaluator) -> None:
        """Show how many alerts there are."""
        self._metrics.alert_pairs.labels(*self._labels).set(evaluator.alert_count)
        self._metrics.open_alerts.labels(*self._labels).set(evaluator.open_count)

    def count(self, events: Sequence[AlertEvent]) -> None:
        """Count the events that were sent."""
        for event in events:
            self._metrics.alerts.labels(self._stage, event.reason.value, event.level or "ok").inc()

"""What triggers make of their records, partition by partition, as Prometheus metrics."""

from typing import TYPE_CHECKING

from pipeline.runtime.observability.metrics import OF_PARTITION, Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.records.kafka.columns import RecordColumns
    from pipeline.core.triggers.evaluator import PolicyEvaluator
    from schemas.alert import AlertEvent


class TriggerFamilies:
    """What the stage ``trigger`` alone counts.

    Parameters
    ----------
    metrics
        Of the process.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.common = metrics
        counter, gauge = metrics.counter, metrics.gauge
        self.evaluations = counter(
            "evaluations", "Samples compared with a trigger policy, each policy for itself.", OF_PARTITION
        )
        self.late_evaluations = counter(
            "late_evaluations", "Of them those older than the alert's newest: they changed nothing.", OF_PARTITION
        )
        self.alert_pairs = gauge("alert_pairs", "Pairs of a trigger policy and a series.", OF_PARTITION)
        self.open_alerts = gauge("open_alerts", "Alerts that have notified and are not over.", OF_PARTITION)
        self.alerts = counter("alerts", "Records of alerts written; level ok for ends.", ("stage", "reason", "level"))


class TriggerMetrics:
    """Shows what one partition's triggers count.

    Parameters
    ----------
    families
        Of the stage.
    stage, topic, partition
        Whose they are.
    """

    def __init__(self, families: TriggerFamilies, stage: str, topic: str, partition: int) -> None:
        self._families = families
        self._stage = stage
        self._labels = (stage, topic, str(partition))
        self._evaluations = self._late = 0

    def update(self, evaluator: "PolicyEvaluator", columns: "RecordColumns", now_ms: int) -> None:
        """Count a fetch that was evaluated."""
        families, common, labels = self._families, self._families.common, self._labels
        counts = evaluator.counts
        common.input_records.labels(*labels).inc(len(columns))
        families.evaluations.labels(*labels).inc(counts.evaluations - self._evaluations)
        families.late_evaluations.labels(*labels).inc(counts.late - self._late)
        self._evaluations, self._late = counts.evaluations, counts.late
        self.show(evaluator)
        if len(columns):
            common.batch_records.labels(self._stage).observe(len(columns))
            common.lag_seconds.labels(*labels).set(max(0.0, (now_ms - int(columns.timestamp_ms[-1])) / 1000))

    def show(self, evaluator: "PolicyEvaluator") -> None:
        """Show how many alerts there are."""
        self._families.alert_pairs.labels(*self._labels).set(evaluator.alert_count)
        self._families.open_alerts.labels(*self._labels).set(evaluator.open_count)

    def count(self, events: "Sequence[AlertEvent]") -> None:
        """Count the events that were sent."""
        for event in events:
            self._families.alerts.labels(self._stage, event.reason.value, event.level or "ok").inc()

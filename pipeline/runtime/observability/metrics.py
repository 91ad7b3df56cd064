"""Every Prometheus metric of a worker, named here alone: `cinnamon_<name>_<unit>[_total]`.

Labels are closed sets: stage, topic, partition and reason, never a series, a resource or an error's text.
"""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

BATCH_RECORDS: Final = (1, 10, 100, 1_000, 5_000, 10_000, 20_000, 50_000, 100_000)
WRITE_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SNAPSHOT_SECONDS: Final = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
STALL_SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
END_TO_END_SECONDS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 30, 60, 90, 120, 300, 900)


class Metrics:
    """The metrics of one process.

    For each partition, between two fetches: input samples = aggregated + late + too late + open samples; a sample is
    aggregated when its window is emitted. Fields that are no samples are counted beside them, by reason.

    Parameters
    ----------
    registry
        Where they are registered; a new registry by default.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        ProcessCollector(registry=self.registry)

        of_partition = ("stage", "topic", "partition")
        of_reason = ("stage", "reason")
        counter, gauge = self._counter, self._gauge

        self.input_records = counter("input_records", "Records read.", of_partition)
        self.input_samples = counter("input_samples", "Samples read from records.", of_partition)
        self.aggregated_samples = counter("aggregated_samples", "Samples in windows that were emitted.", of_partition)
        self.late_samples = counter("late_samples", "Samples that corrected a closed window.", of_partition)
        self.too_late_samples = counter("too_late_samples", "Samples behind any correction.", of_partition)
        self.filtered_samples = counter("filtered_samples", "Fields that are no sample.", (*of_partition, "reason"))
        self.dead_lettered_records = counter(
            "dead_lettered_records", "Dead letters written.", (*of_partition, "reason")
        )
        self.rekeyed_records = counter(
            "rekeyed_records", "Records without a key, produced again with one.", of_partition
        )
        self.empty_records = counter("empty_records", "Records without any metric: blank or comments.", of_partition)
        self.misplaced_resources = counter(
            "misplaced_resources", "Resources found in a second partition: their windows come in halves.", ("stage",)
        )
        self.emitted_windows = counter("emitted_windows", "Windows emitted for the first time.", of_partition)
        self.corrected_windows = counter(
            "corrected_windows", "Windows emitted again after a late sample.", of_partition
        )

        self.open_samples = gauge("open_samples", "Samples in windows not yet emitted.", of_partition)
        self.open_windows = gauge("open_windows", "Windows not yet emitted.", of_partition)
        self.series = gauge("series", "Series (measurement and tag set) known.", of_partition)
        self.lag_records = gauge("lag_records", "Records between position and log end.", of_partition)
        self.lag_seconds = gauge(
            "lag_seconds", "Age of the newest record of the last fetch, when it was taken.", of_partition
        )
        self.watermark_age_seconds = gauge(
            "watermark_age_seconds", "Clock less the greatest event time of any resource.", of_partition
        )
        self.checkpoint_age_seconds = gauge("checkpoint_age_seconds", "Since the last checkpoint.", of_partition)
        self.paused_partitions = gauge("paused_partitions", "1 while the stage holds a partition.", of_partition)

        self.batch_records = self._histogram("batch_records", "Records handed over at once.", BATCH_RECORDS)
        self.end_to_end_seconds = self._histogram(
            "end_to_end_seconds",
            "From a window's end until its store had it: the newest of each batch written.",
            END_TO_END_SECONDS,
        )

        self.written_points = counter("written_points", "Points a store acknowledged.", ("stage",))
        self.unrouted_points = counter("unrouted_points", "Windows whose region no store takes.", ("stage",))
        self.superseded_points = counter(
            "superseded_points", "Windows left out since a greater revision was written.", ("stage",)
        )
        self.rejected_points = counter("rejected_points", "Points a store refused for good.", of_reason)
        self.write_retries = counter("write_retries", "Writes tried again.", of_reason)
        self.write_seconds = self._histogram("write_seconds", "Until a store answered a write.", WRITE_SECONDS)

        self.judged_windows = counter("judged_windows", "Windows with values that were judged.", of_partition)
        self.unjudged_windows = counter("unjudged_windows", "Windows left out.", (*of_partition, "reason"))
        self.judged_samples = counter("judged_samples", "Values judged.", of_partition)
        self.unjudged_samples = counter(
            "unjudged_samples", "Watched values of judged windows left out.", (*of_partition, "reason")
        )
        self.anomalies = counter(
            "anomalies", "Records of detection written; level none for samples and ends.", ("stage", "kind", "level")
        )
        self.started_series = counter("started_series", "Series that began to be judged.", of_partition)
        self.expired_series = counter(
            "expired_series",
            "Series forgotten: silent for detect.expire_after_s, or under a changed rule.",
            of_partition,
        )
        self.evaluations = counter(
            "evaluations", "Samples compared with a trigger policy, each policy for itself.", of_partition
        )
        self.late_evaluations = counter(
            "late_evaluations", "Of them those older than the alert's newest: they changed nothing.", of_partition
        )
        self.alert_pairs = gauge("alert_pairs", "Pairs of a trigger policy and a series.", of_partition)
        self.open_alerts = gauge("open_alerts", "Alerts that have notified and are not over.", of_partition)
        self.alerts = counter("alerts", "Records of alerts written; level ok for ends.", ("stage", "reason", "level"))
        self.active_alerts = gauge("active_alerts", "Open alerts that people may be notified of.", ("stage",))
        self.pending_actions = gauge(
            "pending_actions", "Notifications and script runs decided and not finished.", ("stage",)
        )
        self.actions = counter(
            "actions",
            "Records of actions, by what they were sent with: smtp, apprise, webhook, script, none.",
            ("stage", "kind", "outcome", "reason"),
        )
        self.action_seconds = self._histogram("action_seconds", "Attempts to send or run.", WRITE_SECONDS)
        self.policies = gauge("policies", "Policies in force.", ("stage", "kind"))
        self.refused_policies = counter(
            "refused_policies", "Records of policies that changed nothing: key, value, too_large.", of_reason
        )

        self.downsampled_samples = counter(
            "downsampled_samples", "Samples in chunks that were given out.", of_partition
        )
        self.replaced_samples = counter("replaced_samples", "Samples whose time another one has.", of_partition)
        self.downsampled_chunks = counter("downsampled_chunks", "Chunks given out, revised ones again.", of_partition)
        self.revised_chunks = counter("revised_chunks", "Chunks given out again after late samples.", of_partition)
        self.kept_points = counter("kept_points", "Points in the chunks that were given out.", of_partition)

        self.outbox_records = gauge(
            "outbox_records", "Control service: changes of policies that wait to be published.", ()
        )
        self.published_policies = counter(
            "published_policies", "Control service: changes of policies that Kafka has.", ()
        )
        self.followed_records = counter(
            "followed_records",
            "Control service: records of alerts and actions taken over: kept, unusable.",
            ("topic", "outcome"),
        )

        self.snapshot_bytes = gauge("snapshot_bytes", "State in the newest snapshot written.", ("stage",))
        self.snapshot_written_bytes = counter("snapshot_written_bytes", "Blocks written: what changed.", ("stage",))
        self.snapshot_seconds = self._histogram("snapshot_seconds", "Until a snapshot was whole.", SNAPSHOT_SECONDS)
        self.snapshot_stall_seconds = self._histogram(
            "snapshot_stall_seconds", "The stage stood still for a snapshot.", STALL_SECONDS
        )
        self.failed_snapshots = counter("failed_snapshots", "Snapshots given up.", ("stage",))
        self.unusable_snapshots = counter("unusable_snapshots", "Snapshots found that could not be used.", of_reason)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(name, text, labels, namespace="cinnamon", registry=self.registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...]) -> Gauge:
        return Gauge(name, text, labels, namespace="cinnamon", registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, ("stage",), namespace="cinnamon", registry=self.registry, buckets=buckets)

    def forget_partitions(self, stage: str, topic: str, partitions: Iterable[int]) -> None:
        """Remove the gauges of partitions that a stage gave up: another worker's are right from now on."""
        gauges = (
            self.open_samples,
            self.open_windows,
            self.series,
            self.lag_records,
            self.lag_seconds,
            self.watermark_age_seconds,
            self.checkpoint_age_seconds,
            self.paused_partitions,
        )
        for partition in partitions:
            for gauge in gauges:
                gauge.remove(stage, topic, str(partition))

"""The metrics of a process, and those that every stage has: `cinnamon_<name>_<unit>[_total]`.

What one stage alone counts is declared beside it. Labels are closed sets: stage, topic, partition and reason, never a
series, a resource or an error's text.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

if TYPE_CHECKING:
    from prometheus_client.metrics import MetricWrapperBase

OF_PARTITION: Final = ("stage", "topic", "partition")
OF_REASON: Final = ("stage", "reason")
BATCH_RECORDS: Final = (1, 10, 100, 1_000, 5_000, 10_000, 20_000, 50_000, 100_000)
ATTEMPT_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""For a request to something outside."""
SNAPSHOT_SECONDS: Final = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
STALL_SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Metrics:
    """The metrics of one process: those of every stage, and what makes more.

    Parameters
    ----------
    registry
        Where they are registered; a new registry by default.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.families: list[MetricWrapperBase] = []
        """All that are declared, in order."""
        self._of_partition: list[Gauge] = []
        ProcessCollector(registry=self.registry)

        counter, gauge, histogram = self.counter, self.gauge, self.histogram
        self.input_records = counter("input_records", "Records read.", OF_PARTITION)
        self.input_samples = counter("input_samples", "Samples read from records.", OF_PARTITION)
        self.too_late_samples = counter("too_late_samples", "Samples behind any correction.", OF_PARTITION)
        self.filtered_samples = counter("filtered_samples", "Fields that are no sample.", (*OF_PARTITION, "reason"))
        self.dead_lettered_records = counter(
            "dead_lettered_records", "Dead letters written.", (*OF_PARTITION, "reason")
        )
        self.open_samples = gauge("open_samples", "Samples in windows not yet emitted.", OF_PARTITION)
        self.series = gauge("series", "Series (measurement and tag set) known.", OF_PARTITION)
        self.lag_records = gauge("lag_records", "Records between position and log end.", OF_PARTITION)
        self.lag_seconds = gauge(
            "lag_seconds", "Age of the newest record of the last fetch, when it was taken.", OF_PARTITION
        )
        self.watermark_age_seconds = gauge(
            "watermark_age_seconds", "Clock less the greatest event time of any resource.", OF_PARTITION
        )
        self.checkpoint_age_seconds = gauge("checkpoint_age_seconds", "Since the last checkpoint.", OF_PARTITION)
        self.paused_partitions = gauge("paused_partitions", "1 while the stage holds a partition.", OF_PARTITION)
        self.batch_records = histogram("batch_records", "Records handed over at once.", BATCH_RECORDS)
        self.expired_series = counter(
            "expired_series",
            "Series forgotten: silent for detect.expire_after_s, or under a changed rule.",
            OF_PARTITION,
        )
        self.policies = gauge("policies", "Policies in force.", ("stage", "kind"))
        self.refused_policies = counter(
            "refused_policies", "Records of policies that changed nothing: key, value, too_large.", OF_REASON
        )
        self.snapshot_bytes = gauge("snapshot_bytes", "State in the newest snapshot written.", ("stage",))
        self.snapshot_written_bytes = counter("snapshot_written_bytes", "Blocks written: what changed.", ("stage",))
        self.snapshot_seconds = histogram("snapshot_seconds", "Until a snapshot was whole.", SNAPSHOT_SECONDS)
        self.snapshot_stall_seconds = histogram(
            "snapshot_stall_seconds", "The stage stood still for a snapshot.", STALL_SECONDS
        )
        self.failed_snapshots = counter("failed_snapshots", "Snapshots given up.", ("stage",))
        self.unusable_snapshots = counter("unusable_snapshots", "Snapshots found that could not be used.", OF_REASON)

    def counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        """Return a new counter; ``text``: what it counts."""
        family = Counter(name, text, labels, namespace="cinnamon", registry=self.registry)
        self.families.append(family)
        return family

    def gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        """Return a new gauge; one with the labels `OF_PARTITION` is forgotten with its partition."""
        family = Gauge(name, text, labels, namespace="cinnamon", registry=self.registry)
        self.families.append(family)
        if labels == OF_PARTITION:
            self._of_partition.append(family)
        return family

    def histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        """Return a new histogram with the label ``stage``."""
        family = Histogram(name, text, ("stage",), namespace="cinnamon", registry=self.registry, buckets=buckets)
        self.families.append(family)
        return family

    def shown_partitions(self, stage: str, topic: str) -> frozenset[int]:
        """Return the partitions of a stage that have gauges."""
        found = (sample.labels for gauge in self._of_partition for sample in next(iter(gauge.collect())).samples)
        return frozenset(
            int(labels["partition"]) for labels in found if labels["stage"] == stage and labels["topic"] == topic
        )

    def forget_partitions(self, stage: str, topic: str, partitions: Iterable[int]) -> None:
        """Remove the gauges of partitions that a stage gave up: another worker's are right from now on."""
        for partition in partitions:
            for gauge in self._of_partition:
                gauge.remove(stage, topic, str(partition))

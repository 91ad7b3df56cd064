"""Metrics: names and labels follow the rule, and partitions that moved away are forgotten."""

import re

from prometheus_client import Gauge

from pipeline.factory import declared_metrics
from pipeline.runtime.observability.metrics import OF_PARTITION, Metrics
from pipeline.stages.sink.metrics import SinkFamilies

LABELS = {"kind", "le", "level", "outcome", "partition", "reason", "stage", "topic"}
UNITS = (
    "actions",
    "alerts",
    "anomalies",
    "bytes",
    "chunks",
    "evaluations",
    "pairs",
    "partitions",
    "points",
    "policies",
    "records",
    "resources",
    "retries",
    "samples",
    "seconds",
    "series",
    "snapshots",
    "windows",
)


def test_every_metric_is_named_after_what_it_counts_and_has_closed_labels() -> None:
    metrics = declared_metrics()
    families = [family for family in metrics.registry.collect() if not family.name.startswith("process_")]
    assert len(families) > 20
    for family in families:
        assert re.fullmatch(rf"cinnamon_([a-z]+_)*({'|'.join(UNITS)})", family.name), family.name
        assert family.documentation.endswith("."), family.name
        assert {label for sample in family.samples for label in sample.labels} <= LABELS


def test_the_gauges_of_a_partition_that_moved_away_are_gone_and_its_counters_stay() -> None:
    metrics = Metrics()
    for partition in ("1", "2"):
        metrics.lag_records.labels("aggregate", "metrics.raw", partition).set(7)
        metrics.input_records.labels("aggregate", "metrics.raw", partition).inc(5)
    metrics.forget_partitions("aggregate", "metrics.raw", [1, 3])

    def value(name: str, partition: str) -> float | None:
        labels = {"stage": "aggregate", "topic": "metrics.raw", "partition": partition}
        return metrics.registry.get_sample_value(name, labels)

    assert [value("cinnamon_lag_records", partition) for partition in "12"] == [None, 7]
    assert [value("cinnamon_input_records_total", partition) for partition in "12"] == [5, 5]


def test_two_workers_in_one_process_have_metrics_of_their_own() -> None:
    one, other = Metrics(), Metrics()
    SinkFamilies(one).written_points.labels("sink-a").inc()
    assert other.registry.get_sample_value("cinnamon_written_points_total", {"stage": "sink-a"}) is None


def test_a_gauge_that_a_stage_declares_is_forgotten_with_its_partition() -> None:
    metrics = Metrics()
    backlog = metrics.gauge("echo_records", "Records to be echoed.", OF_PARTITION)
    for partition in ("1", "2"):
        backlog.labels("echo", "metrics.agg", partition).set(7)

    assert metrics.shown_partitions("echo", "metrics.agg") == {1, 2}
    metrics.forget_partitions("echo", "metrics.agg", [1])
    assert metrics.shown_partitions("echo", "metrics.agg") == {2}


def test_no_gauge_of_a_stage_stays_for_a_partition_that_it_gave_up() -> None:
    metrics = declared_metrics()
    gauges = [family for family in metrics.families if isinstance(family, Gauge) and "partition" in family._labelnames]
    for gauge in gauges:
        gauge.labels("aggregate", "metrics.raw", "1").set(7)
    metrics.forget_partitions("aggregate", "metrics.raw", [1])

    assert {"alert_pairs", "open_alerts", "open_windows"} <= {gauge._name.removeprefix("cinnamon_") for gauge in gauges}
    assert [sample for gauge in gauges for sample in next(iter(gauge.collect())).samples] == []

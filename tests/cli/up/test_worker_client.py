"""What is read from a worker's web port."""

import pytest
from prometheus_client import generate_latest

from pipeline.cli.up.worker_client import (
    WorkerClient,
    WorkerCounts,
    WorkerUnreachableError,
    parse_counts,
)
from pipeline.factory import declared_metrics
from pipeline.runtime.local.embedded_broker import free_port
from pipeline.runtime.observability.metrics import Metrics
from pipeline.stages.aggregate.metrics import AggregateFamilies
from pipeline.stages.detect.metrics import DetectFamilies
from pipeline.stages.sink.metrics import SinkFamilies


def test_counts_are_summed_over_partitions_and_told_apart_by_stage() -> None:
    metrics = Metrics()
    windows, detection = AggregateFamilies(metrics), DetectFamilies(metrics)
    sinks = SinkFamilies(metrics)
    for number, partition in enumerate(("0", "1"), start=1):
        raw = ("aggregate", "metrics.raw", partition)
        metrics.input_records.labels(*raw).inc(100 * number)
        metrics.input_samples.labels(*raw).inc(1000 * number)
        windows.aggregated_samples.labels(*raw).inc(600 * number)
        windows.late_samples.labels(*raw).inc(30 * number)
        metrics.too_late_samples.labels(*raw).inc(20 * number)
        metrics.open_samples.labels(*raw).set(350 * number)
        windows.emitted_windows.labels(*raw).inc(10 * number)
        windows.corrected_windows.labels(*raw).inc(number)
        metrics.lag_records.labels(*raw).set(number)
        metrics.series.labels(*raw).set(5)
        agg = ("sink-local", "metrics.agg", partition)
        metrics.input_records.labels(*agg).inc(11 * number)
        metrics.lag_records.labels(*agg).set(4)
        detect = ("detect", "metrics.agg", partition)
        metrics.input_records.labels(*detect).inc(11 * number)
        detection.scored_samples.labels(*detect).inc(70 * number)
    reported = {("anomaly", "info"): 4, ("anomaly", "warn"): 2, ("sample", "none"): 9, ("host", "warn"): 1}
    for (kind, level), count in reported.items():
        detection.anomalies.labels("detect", kind, level).inc(count)
    metrics.filtered_samples.labels("aggregate", "metrics.raw", "0", "STRING").inc(7)
    metrics.dead_lettered_records.labels("aggregate", "metrics.raw", "0", "PARSE_SYNTAX").inc(2)
    metrics.dead_lettered_records.labels("sink-local", "metrics.agg", "1", "STORE_REJECTED").inc(1)
    sinks.written_points.labels("sink-local").inc(30)
    sinks.written_points.labels("sink-history-downsampled").inc(500)
    sinks.superseded_points.labels("sink-local").inc(2)
    sinks.rejected_points.labels("sink-local", "STORE_REJECTED").inc(1)

    counts = parse_counts(generate_latest(metrics.registry).decode())

    assert counts == WorkerCounts(
        records=300,
        samples=3000,
        aggregated=1800,
        late=90,
        too_late=60,
        filtered=7,
        open_samples=1050,
        windows=30,
        corrections=3,
        sunk=33,
        written=30,
        superseded=2,
        rejected=1,
        dead_letters=3,
        aggregate_lag=3,
        sink_lag=8,
        series=10,
        watched=33,
        scored=210,
        anomalies=6,
        host_incidents=1,
    )
    assert counts.missing_samples == 0
    assert counts.fields_in == 3007
    assert counts.is_all_written
    assert counts.is_all_scored


def test_what_is_not_shown_yet_is_nothing() -> None:
    assert parse_counts(generate_latest(declared_metrics().registry).decode()) == WorkerCounts()


def test_a_window_that_the_sink_has_not_read_or_written_is_not_all_written() -> None:
    assert not WorkerCounts(windows=2, sunk=1, written=1).is_all_written
    assert not WorkerCounts(windows=2, sunk=2, written=1).is_all_written
    assert WorkerCounts(windows=2, sunk=2, written=1, superseded=1).is_all_written


def test_a_window_that_detection_has_not_read_is_not_all_scored() -> None:
    assert not WorkerCounts(windows=2, corrections=1, watched=2).is_all_scored
    assert WorkerCounts(windows=2, corrections=1, watched=3).is_all_scored


def test_where_nobody_listens_the_worker_is_not_ready_and_has_no_counts() -> None:
    client = WorkerClient(free_port(), timeout_s=1.0)
    assert not client.is_ready()
    with pytest.raises(WorkerUnreachableError, match="no worker answers on port"):
        client.counts()

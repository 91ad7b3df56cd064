"""What a worker writes to its stores is what lies on metrics.agg; what stores do wrong: tests/faults."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

import topics
from tests.support.servers.influxdb import InfluxDB
from tests.support.stages.brokers import Broker, Raw, produce, read_topic
from tests.support.stages.databases import (
    assert_same_points,
    influxdb_store,
    points_in_embedded,
    points_in_influxdb,
    points_of,
)
from tests.support.stages.sinks import dead_letters_of, decided, emitted_by, in_region, until_written
from tests.support.stages.streams import decoded, end_line, fleet, settings_of
from tests.support.stages.worker import Worker, running
from tests.support.stores.windows import functions, window

RECORDS = 400


def worker_of(broker: Broker, directory: Path, stores: Sequence[dict[str, Any]]) -> Worker:
    return Worker(directory / "worker", settings_of(broker, stores=list(stores)), stages="aggregate,sink")


def recent(minutes: int) -> list[Raw]:
    """Return an hour-old stream of two hosts: an embedded store forgets what is older than its retention."""
    begin_s = int(time.time()) - 3600
    records = []
    for second in range(60 * minutes):
        for host in ("a", "b"):
            key = f"host={host} usage_user={second % 97},usage_idle={second / 7} {begin_s + second}"
            net = f"host={host},interface=eth0 bytes_recv={second * second % 100_000}i {begin_s + second}"
            records += [Raw(f"{name}".encode(), host.encode()) for name in (f"cpu,{key}", f"net,{net}")]
    return records + [Raw(end_line({"host": h}, (begin_s + 3000) * 1000), h.encode()) for h in ("a", "b")]


def test_the_embedded_store_holds_what_was_emitted(embedded: Broker, tmp_path: Path) -> None:
    path = tmp_path / "windows.db"
    count = produce(embedded, recent(20))
    with running(worker_of(embedded, tmp_path, [{"name": "local", "kind": "embedded", "path": str(path)}])) as worker:
        until_written(worker, count)
    emitted = decoded(read_topic(embedded, topics.METRICS_AGG))
    assert_same_points(points_in_embedded(path, emitted), points_of(emitted))
    assert not read_topic(embedded, topics.DEAD_LETTERS)


@pytest.mark.real
def test_two_databases_hold_the_windows_of_their_regions(kafka: Broker, influxdb: InfluxDB, tmp_path: Path) -> None:
    eu, rest = influxdb.create_bucket("sink-eu"), influxdb.create_bucket("sink-rest")
    stores = [influxdb_store("eu", influxdb, eu, "eu-*"), influxdb_store("rest", influxdb, rest)]
    with running(worker_of(kafka, tmp_path, stores)) as worker:
        count = produce(kafka, fleet(10, RECORDS))
        scrape = until_written(worker, count)
    emitted = decoded(read_topic(kafka, topics.METRICS_AGG))
    assert len(emitted) == emitted_by(scrape)
    assert_same_points(points_in_influxdb(influxdb, eu), points_of(in_region(emitted, "eu-west")))
    assert_same_points(points_in_influxdb(influxdb, rest), points_of(in_region(emitted, "us-east")))
    assert not dead_letters_of(kafka, "sink-eu") + dead_letters_of(kafka, "sink-rest")


@pytest.mark.real
def test_a_sink_that_was_restarted_still_knows_what_it_wrote_last(
    kafka: Broker, influxdb: InfluxDB, tmp_path: Path
) -> None:
    bucket = influxdb.create_bucket("sink-restarted")
    settings = settings_of(kafka, stores=[influxdb_store("one", influxdb, bucket)])
    old, corrected = (window({"x": functions(float(revision))}, revision=revision) for revision in (5, 9))
    other = window({"x": functions(1.0)}, tags={"host": "b"})

    def send(*values: bytes) -> None:
        produce(kafka, [Raw(value, b"a", partition=0) for value in values], topics.METRICS_AGG)

    worker = Worker(tmp_path / "worker", settings, stages="sink")
    with running(worker):
        send(old, corrected)
        worker.wait_for(lambda scrape: decided(scrape) == 2, "both revisions")
    with running(worker):
        send(old, other)
        scrape = worker.wait_for(lambda scrape: decided(scrape) == 2, "the old revision once more")
    assert scrape.total("superseded_points_total") == 1
    assert scrape.total("input_records_total") == 2
    assert_same_points(points_in_influxdb(influxdb, bucket), points_of(map(orjson.loads, (old, corrected, other))))

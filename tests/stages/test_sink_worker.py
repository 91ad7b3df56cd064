"""What a worker writes to its stores is what lies on metrics.agg, also after a store was down or refused a point."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

import topics
from schemas.reasons import DeadLetterReason
from schemas.records import DeadLetter
from tests.real.influxdb import InfluxDB
from tests.reference_windows import Record
from tests.stages.brokers import Broker, Raw, produce, read_topic
from tests.stages.databases import assert_same_points, points_in_embedded, points_in_influxdb, points_of
from tests.stages.streams import BASE_MS, decoded, end_line, fleet, settings_of
from tests.stages.worker import Scrape, Worker, running

RECORDS = 400


def influxdb_store(name: str, server: InfluxDB, bucket: str, *regions: str) -> dict[str, Any]:
    """Give a store's section of the settings."""
    place = {"url": server.url, "org": server.org, "bucket": bucket, "token": server.token}
    return {"name": name, "kind": "influxdb", "regions": list(regions), **place}


def worker_of(broker: Broker, directory: Path, stores: Sequence[dict[str, Any]]) -> Worker:
    return Worker(directory / "worker", settings_of(broker, stores=list(stores)), stages="aggregate,sink")


def decided(scrape: Scrape) -> float:
    """Count what the stores took, left out or refused."""
    return sum(scrape.total(f"{name}_points_total") for name in ("written", "superseded", "rejected"))


def emitted_by(scrape: Scrape) -> float:
    return scrape.total("emitted_windows_total") + scrape.total("corrected_windows_total")


def until_written(worker: Worker, records: int) -> Scrape:
    """Wait until that many records are aggregated, and each record emitted of them is in its store."""
    return worker.wait_for(
        lambda scrape: (
            scrape.total("input_records_total", stage="aggregate") >= records
            and decided(scrape) >= emitted_by(scrape)
            and scrape.total("paused_partitions") == 0
        ),
        f"the windows of {records} records in the stores",
    )


def in_region(records: Sequence[Record], region: str) -> list[Record]:
    return [record for record in records if record["tags"].get("region") == region]


def letters_of(broker: Broker, stage: str) -> list[DeadLetter]:
    letters = [DeadLetter.model_validate_json(stored.value) for stored in read_topic(broker, topics.DEAD_LETTERS)]
    return [letter for letter in letters if letter.stage == stage]


def recent(minutes: int) -> list[Raw]:
    """Give an hour-old stream of two hosts: an embedded store forgets what is older than its retention."""
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
    assert not letters_of(kafka, "sink-eu") + letters_of(kafka, "sink-rest")


@pytest.mark.real
def test_a_database_that_is_down_delays_nobody_else_and_gets_everything_afterwards(
    kafka: Broker, influxdb: InfluxDB, own_influxdb: InfluxDB, tmp_path: Path
) -> None:
    bucket = influxdb.create_bucket("sink-up")
    stores = [
        influxdb_store("up", influxdb, bucket, "eu-*"),
        influxdb_store("down", own_influxdb, own_influxdb.bucket),
    ]
    stream = fleet(11, RECORDS)
    half = len(stream) // 2
    with running(worker_of(kafka, tmp_path, stores)) as worker:
        count = produce(kafka, stream[:half])
        until_written(worker, count)
        own_influxdb.kill()
        count += produce(kafka, stream[half:])
        worker.wait_for(lambda scrape: scrape.total("paused_partitions", stage="sink-down") > 0, "the pause")
        scrape = worker.wait_for(
            lambda scrape: (
                scrape.total("input_records_total", stage="aggregate") >= count
                and scrape.total("input_records_total", stage="sink-up") >= emitted_by(scrape)
                and written_of(scrape, "sink-up") == len(in_region(emitted_now(kafka), "eu-west"))
            ),
            "the other store's windows",
        )
        assert scrape.total("paused_partitions", stage="sink-up") == 0
        assert scrape.total("write_retries_total", stage="sink-down") > 0
        assert worker.get("/healthz")[0] == 200
        emitted = emitted_now(kafka)
        assert_same_points(points_in_influxdb(influxdb, bucket), points_of(in_region(emitted, "eu-west")))
        own_influxdb.start()
        until_written(worker, count)
        assert worker.get("/healthz")[0] == 200
    emitted = emitted_now(kafka)
    got = points_in_influxdb(own_influxdb, own_influxdb.bucket)
    assert_same_points(got, points_of(in_region(emitted, "us-east")))
    assert not letters_of(kafka, "sink-up") + letters_of(kafka, "sink-down")


def emitted_now(broker: Broker) -> list[Record]:
    return decoded(read_topic(broker, topics.METRICS_AGG))


def written_of(scrape: Scrape, sink: str) -> float:
    return scrape.total("written_points_total", stage=sink) + scrape.total("superseded_points_total", stage=sink)


@pytest.mark.real
def test_a_point_that_the_database_refuses_is_a_dead_letter_alone(
    kafka: Broker, influxdb: InfluxDB, tmp_path: Path
) -> None:
    bucket = influxdb.create_bucket("sink-conflict")
    influxdb.write(b'gpu,host=other usage_avg="a text" %d000000' % BASE_MS, bucket=bucket)
    conflicting = Raw(b"gpu,host=p0vm0,region=eu-west usage=5 %d000000" % (BASE_MS + 1), b"gpu", BASE_MS, 0)
    stream = fleet(12, RECORDS)
    stream.insert(len(stream) // 2, conflicting)
    ends = Raw(end_line({"host": "p0vm0"}), b"gpu", BASE_MS, 0)
    with running(worker_of(kafka, tmp_path, [influxdb_store("one", influxdb, bucket)])) as worker:
        count = produce(kafka, [*stream, ends])
        scrape = until_written(worker, count)
    assert scrape.total("rejected_points_total") == 1
    stored = read_topic(kafka, topics.METRICS_AGG)
    (refused,) = [record for record in stored if orjson.loads(record.value)["measurement"] == "gpu"]
    (letter,) = letters_of(kafka, "sink-one")
    assert (letter.topic, letter.partition, letter.offset) == (topics.METRICS_AGG, refused.partition, refused.offset)
    assert (letter.reason, letter.value) == (DeadLetterReason.STORE_REJECTED, refused.value)
    assert "field type conflict" in letter.message
    others = [record for record in decoded(stored) if record["measurement"] != "gpu"]
    assert_same_points(points_in_influxdb(influxdb, bucket, without="gpu"), points_of(others))

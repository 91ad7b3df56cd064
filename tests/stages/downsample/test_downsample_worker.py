"""What a worker writes to metrics.downsampled is what the core makes of metrics.raw, whatever happens to the worker."""

import contextlib
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import topics
from pipeline.core.downsampling.downsampler import PartitionDownsampler
from pipeline.core.records.telegraf.parser import batch_of
from pipeline.factory import Settings
from pipeline.runtime.kafka.topic_reader import committed_offsets
from pipeline.stages.downsample.stage import downsampling_rules, kind_of
from schemas.catalogue import load_catalogue
from schemas.downsampled import DownsampledChunk
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.kafka import KafkaBroker
from tests.support.stages.brokers import HISTORY, Broker, Raw, Stored, pipeline_topics, produce, read_topic
from tests.support.stages.streams import END_MS, fleet, settings_of
from tests.support.stages.worker import Scrape, Worker, running
from tests.support.waiting import wait_until

PARTITIONS = 4
CHUNKS = {"chunk_s": 120, "chunk_points": 16, "grace_s": 5, "allowed_lateness_s": 20, "snapshot_interval_s": 0.3}


@pytest.fixture
def embedded(own_embedded_broker: EmbeddedBroker) -> Iterator[Broker]:
    with pipeline_topics(own_embedded_broker, names=HISTORY) as broker:
        yield broker


@pytest.fixture
def kafka(kafka_broker: KafkaBroker) -> Iterator[Broker]:
    with pipeline_topics(kafka_broker, names=HISTORY) as broker:
        yield broker


def document(broker: Broker, **kafka: Any) -> dict[str, Any]:
    return settings_of(broker, kafka=kafka, downsample=CHUNKS)


def expected(broker: Broker) -> list[bytes]:
    """Return what the core makes of each partition of metrics.raw."""
    rules = downsampling_rules(Settings(downsample=CHUNKS))
    catalogue = load_catalogue()
    stored = read_topic(broker, topics.METRICS_RAW)
    out = []
    for partition in range(PARTITIONS):
        mine = [record for record in stored if record.partition == partition and record.key is not None]
        downsampler = PartitionDownsampler(partition, rules, lambda *names: kind_of(catalogue, *names))
        for record in mine:  # one at a time: offsets may have gaps where records have no key
            output = downsampler.add(batch_of([record.value], record.offset, [record.timestamp_ms]), 0, 1, END_MS)
            out += output.values
    return sorted(out)


def written(broker: Broker) -> list[Stored]:
    return read_topic(broker, topics.METRICS_DOWNSAMPLED)


def until_read(worker: Worker, count: int) -> Scrape:
    return worker.wait_for(
        lambda scrape: (
            scrape.total("input_records_total", stage="downsample") >= count
            and scrape.total("lag_records", stage="downsample") == 0
        ),
        f"{count} records read",
    )


def test_the_worker_writes_what_the_core_makes_of_the_samples(embedded: Broker, tmp_path: Path) -> None:
    count = produce(embedded, fleet(5, 400))
    with running(Worker(tmp_path / "worker", document(embedded), stages="aggregate,downsample")) as worker:
        scrape = until_read(worker, count)
        rekeyed = scrape.total("rekeyed_records_total")
        scrape = until_read(worker, count + int(rekeyed))
    stored = written(embedded)
    assert sorted(record.value for record in stored) == expected(embedded)
    chunks = [DownsampledChunk.model_validate_json(record.value) for record in stored]
    assert len(chunks) > 100
    assert {record.key for record in stored} == {key_of(chunk) for chunk in chunks}

    def total(name: str, **labels: str) -> float:
        return scrape.total(name, stage="downsample", **labels)

    overflow = total("filtered_samples_total", reason="overflow")
    assert total("input_samples_total") == overflow + sum(
        total(name)
        for name in ("downsampled_samples_total", "open_samples", "too_late_samples_total", "replaced_samples_total")
    )
    assert total("downsampled_chunks_total") == len(stored)
    assert total("kept_points_total") == sum(chunk.n_kept for chunk in chunks)
    assert total("revised_chunks_total") > 0


def key_of(chunk: DownsampledChunk) -> bytes:
    tags = chunk.tags
    return (f"{tags['ns_id']}/{tags['infra_id']}/{tags['node_id']}" if "node_id" in tags else tags["host"]).encode()


@pytest.mark.real
def test_kills_and_moves_between_workers_leave_no_trace(kafka: Broker, tmp_path: Path) -> None:
    r = random.Random(7)
    settings = document(kafka, fetch_max_bytes=8192, session_timeout_s=3)
    first, second = (Worker(tmp_path / name, settings, stages="downsample") for name in ("first", "second"))
    stream = fleet(8, 1500)
    quarter = -(-len(stream) // 4)
    batches = [stream[start : start + quarter] for start in range(0, len(stream), quarter)]

    def send(batch: Sequence[Raw]) -> int:
        return produce(kafka, batch, **{"linger.ms": 0, "batch.num.messages": 5})

    def some_read(worker: Worker, count: int) -> None:
        left = count * r.uniform(0.2, 0.8)
        worker.wait_for(
            lambda scrape: scrape.total("input_records_total") > 0 and scrape.total("lag_records") <= left, "some read"
        )

    with contextlib.ExitStack() as stack:
        for worker in (first, second):
            stack.callback(worker.discard)
        first.start()
        some_read(first, send(batches[0]))
        first.kill()
        first.start().ready()
        second.start().ready()
        some_read(second, send(batches[1]))
        first.kill()
        some_read(second, send(batches[2]))
        first.start().ready()
        second.stop()
        some_read(first, send(batches[3]))
        first.kill()
        first.start()
        wait_until(lambda: committed(kafka) == ends(kafka), timeout_s=60.0, what="all committed", every_s=0.3)
        first.stop()
    found = [record.value for record in written(kafka)]
    assert sorted(set(found)) == expected(kafka), "a replay must give the same bytes"
    assert len(found) > len(set(found)), "nothing was done twice: the kills have missed"


@pytest.mark.real
def test_a_topic_that_was_made_anew_is_read_from_its_beginning(kafka: KafkaBroker, tmp_path: Path) -> None:
    worker = Worker(tmp_path / "worker", document(kafka), stages="downsample")
    with running(worker):
        until_read(worker, produce(kafka, fleet(5, 400)))
        wait_until(lambda: committed(kafka) == ends(kafka), timeout_s=60.0, what="all committed", every_s=0.3)
    before = {record.value for record in written(kafka)}
    admin = kafka.admin()
    admin.delete_topics([topics.METRICS_RAW])[topics.METRICS_RAW].result(30)
    kafka.create_topic(topics.METRICS_RAW, partitions=PARTITIONS)
    count = produce(kafka, fleet(6, 200))
    with running(worker):
        until_read(worker, count)
    found = sorted({record.value for record in written(kafka)} - before)
    assert found == expected(kafka) != []
    assert "metrics.raw was made anew since the snapshot" in worker.log()


def committed(broker: Broker) -> dict[int, int]:
    kafka = Settings(kafka={"bootstrap_servers": broker.bootstrap_servers}).kafka
    return committed_offsets(kafka, "cinnamon-downsample", topics.METRICS_RAW, [*range(PARTITIONS)], 30.0)


def ends(broker: Broker) -> dict[int, int]:
    return {record.partition: record.offset + 1 for record in read_topic(broker, topics.METRICS_RAW)}

"""Restarts, crashes and rebalances leave no trace: the latest revisions are those of an undisturbed run."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

import topics
from tests.real.kafka import KafkaBroker
from tests.stages.brokers import Broker, Raw, pipeline_topics, produce, read_topic
from tests.stages.streams import assert_equal, careless, decoded, end_line, expected, fleet, latest, settings_of
from tests.stages.worker import Worker

RECORDS = 2500
"""Of each of four partitions; beside them come records without a key."""
KEYLESS = 500

pytestmark = pytest.mark.real


def stream_of(seed: int) -> list[Raw]:
    """Give a stream with a careless agent's records in it."""
    stream = fleet(seed, RECORDS)
    for number, record in enumerate(careless(seed, KEYLESS)):
        stream.insert(5 * number, record)
    return stream + [Raw(end_line({"ns_id": "ns9", "infra_id": "m9", "node_id": node}), None) for node in ("c1", "c2")]


def produce_finely(broker: Broker, records: Sequence[Raw]) -> int:
    """Produce in small batches, so that a fetch may hold few records."""
    return produce(broker, records, **{"linger.ms": 0, "batch.num.messages": 5})


@contextmanager
def workers_of(broker: Broker, directory: Path, *, idle_close_s: float = 60) -> Iterator[tuple[Worker, Worker]]:
    """Give two workers of one group that take few records at once: a run lasts long enough to be disturbed."""
    settings = settings_of(broker, kafka={"fetch_max_bytes": 2048}, windows={"idle_close_s": idle_close_s})
    pair = Worker(directory / "first", settings), Worker(directory / "second", settings)
    try:
        yield pair
    finally:
        for worker in pair:
            worker.discard()


def has_read(worker: Worker, records: float) -> None:
    """Wait until a process has read that many records."""
    worker.wait_for(lambda scrape: scrape.total("input_records_total") >= records, f"{records} records read")


def finish(worker: Worker) -> None:
    """Let a running worker read all there is, and another process what the first produced once more with a key."""
    for _ in range(2):
        if not worker.is_running:
            worker.start()
        worker.ready().wait_for(lambda scrape: scrape.total("lag_records") == 0, "the end of the topic")
        worker.stop()


def assert_undisturbed(broker: Broker, worker: Worker) -> None:
    """Compare the latest revisions with those of the slow reference, which nothing disturbs."""
    want = expected(read_topic(broker, topics.METRICS_RAW), worker.settings)
    assert want.counts["late"] > 0
    got = decoded(read_topic(broker, topics.METRICS_AGG))
    assert_equal(latest(got), latest(want.records))


def test_three_kills_leave_no_trace(kafka: Broker, tmp_path: Path) -> None:
    total = produce_finely(kafka, stream_of(7))
    r = random.Random(7)
    with workers_of(kafka, tmp_path) as (worker, _):
        for _ in range(3):
            worker.start()
            has_read(worker, total * r.uniform(0.1, 0.3))
            worker.kill()
        finish(worker.start())
        assert_undisturbed(kafka, worker)


def test_a_stop_and_a_worker_that_joins_and_leaves_leave_no_trace(kafka: Broker, tmp_path: Path) -> None:
    stream = stream_of(8)
    third = len(stream) // 3
    # the parts come with pauses, and the clock must not close what one interrupts
    with workers_of(kafka, tmp_path, idle_close_s=3600) as (first, second):
        produce_finely(kafka, stream[:third])
        first.start()
        has_read(first, third * 0.1)
        first.stop()
        first.start().ready()
        second.start().ready()
        produce_finely(kafka, stream[third : 2 * third])
        has_read(second, third * 0.1)
        produce_finely(kafka, stream[2 * third :])
        second.stop()
        finish(first)
        assert_undisturbed(kafka, first)


def test_a_broker_that_is_killed_and_comes_back_leaves_no_trace(own_kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    stream = stream_of(9)
    half = len(stream) // 2
    with pipeline_topics(own_kafka_broker) as broker, workers_of(broker, tmp_path, idle_close_s=3600) as (worker, _):
        produce_finely(broker, stream[:half])
        worker.start()
        has_read(worker, half * 0.3)
        own_kafka_broker.kill()
        own_kafka_broker.restart()
        produce_finely(broker, stream[half:])
        worker.wait_for(lambda scrape: scrape.total("input_records_total") >= len(stream), "the rest read")
        finish(worker)
        assert_undisturbed(broker, worker)

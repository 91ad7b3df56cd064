"""Checkpoints: the newest value of a key is found, however far back, on both brokers."""

import itertools
import os
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from pipeline.runtime.kafka.producer import RecordProducer
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.state.checkpoints import CheckpointReadError, CheckpointStore
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.kafka import KafkaBroker
from tests.support.servers.process import free_ports

TIMEOUT_S = 30.0
_names = itertools.count()


@pytest.fixture(params=["embedded_broker", "kafka_broker"])
def broker(request: pytest.FixtureRequest) -> KafkaBroker | EmbeddedBroker:
    return request.getfixturevalue(request.param)


@pytest.fixture
def producer(broker: KafkaBroker | EmbeddedBroker) -> Iterator[RecordProducer]:
    producer = RecordProducer(KafkaSettings(bootstrap_servers=broker.bootstrap_servers))
    yield producer
    producer.close(TIMEOUT_S)


@pytest.fixture
def store(broker: KafkaBroker | EmbeddedBroker, producer: RecordProducer) -> CheckpointStore:
    topic = f"checkpoints-{os.getpid()}-{next(_names)}"
    if isinstance(broker, KafkaBroker):
        broker.create_topic(topic, config={"cleanup.policy": "compact"})
    else:
        made = NewTopic(topic, num_partitions=4, replication_factor=1)
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        admin.create_topics([made])[topic].result(TIMEOUT_S)
    return CheckpointStore(KafkaSettings(bootstrap_servers=broker.bootstrap_servers), producer, topic)


def test_the_newest_value_of_each_key_is_found(store: CheckpointStore, producer: RecordProducer) -> None:
    for i in range(20):
        for partition in range(12):
            store.write(f"aggregate/{partition}", b"%d of %d" % (i, partition))
    producer.flush(TIMEOUT_S)
    keys = [f"aggregate/{partition}" for partition in range(12)]
    expected = {f"aggregate/{partition}": b"19 of %d" % partition for partition in range(12)}
    assert store.read_latest(keys, TIMEOUT_S) == expected
    assert store.read_latest(["aggregate/3"], TIMEOUT_S) == {"aggregate/3": b"19 of 3"}


def test_a_key_far_before_the_tail_is_found_and_a_newer_value_wins(
    store: CheckpointStore, producer: RecordProducer
) -> None:
    store.write("old/0", b"only here")
    store.write("twice/0", b"old")
    producer.flush(TIMEOUT_S)
    for i in range(30_000):
        store.write(f"other/{i % 8}", b"%d" % i)
    store.write("twice/0", b"new")
    producer.flush(TIMEOUT_S)
    assert store.read_latest(["old/0", "twice/0"], TIMEOUT_S) == {"old/0": b"only here", "twice/0": b"new"}


def test_a_key_that_is_not_there_or_was_deleted_is_left_out(store: CheckpointStore, producer: RecordProducer) -> None:
    for i in range(3_000):
        store.write(f"other/{i % 8}", b"x")
    store.write("gone/0", b"x")
    store.write("gone/0", None)
    producer.flush(TIMEOUT_S)
    assert store.read_latest(["never/0", "gone/0"], TIMEOUT_S) == {}


def test_a_large_value_comes_back_whole(store: CheckpointStore, producer: RecordProducer) -> None:
    value = os.urandom(700_000)
    store.write("large/0", value)
    producer.flush(TIMEOUT_S)
    assert store.read_latest(["large/0"], TIMEOUT_S) == {"large/0": value}


def test_an_empty_topic_has_no_checkpoints(store: CheckpointStore) -> None:
    assert store.read_latest(["aggregate/0"], TIMEOUT_S) == {}


@pytest.mark.real
def test_a_missing_topic_is_an_error_that_says_what_to_do(kafka_broker: KafkaBroker) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka_broker.bootstrap_servers)
    store = CheckpointStore(settings, RecordProducer(settings), "never-made")
    with pytest.raises(CheckpointReadError, match=r"topic never-made: .*run `cinnamon topics apply`"):
        store.read_latest(["aggregate/0"], TIMEOUT_S)


def test_a_broker_that_is_away_is_an_error_and_no_empty_state() -> None:
    settings = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}")
    store = CheckpointStore(settings, RecordProducer(settings), "checkpoints")
    with pytest.raises(CheckpointReadError, match="topic checkpoints"):
        store.read_latest(["aggregate/0"], 0.5)

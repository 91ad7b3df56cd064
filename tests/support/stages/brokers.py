"""The pipeline's topics on a broker of a test: made empty, written to, read back whole."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

import topics
from pipeline.factory import Settings
from pipeline.stages.registry import chosen_stages
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.kafka import KafkaBroker
from tests.support.waiting import wait_until
from topics.admin import TopicAdmin
from topics.catalogue import load_topics
from topics.plan import TopicState, plan, wanted_topics

Broker = KafkaBroker | EmbeddedBroker


def topics_of(*stages: str) -> tuple[str, ...]:
    """Return the topics that these stages need, as their specs say."""
    return tuple(sorted({topic for spec in chosen_stages(stages) for topic in spec.required_topics(Settings())}))


USED = topics_of("aggregate")
DETECTION = topics_of("detect")
HISTORY = topics_of("aggregate", "downsample")
TRIGGERS = topics_of("trigger")
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Raw:
    """A record to produce; without a partition the key decides, as Telegraf's does."""

    value: bytes | None
    key: bytes | None = b"key"
    timestamp_ms: int = -1
    partition: int | None = None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(frozen=True)
class Stored:
    """A record as a broker has it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes
    timestamp_ms: int
    headers: Mapping[str, bytes]


@contextmanager
def pipeline_topics(broker: Broker, partitions: int = 4, names: Sequence[str] = USED) -> Iterator[Broker]:
    """Have the pipeline's topics on a broker, empty, for one test; on Kafka they are deleted at its end."""
    admin = TopicAdmin({"bootstrap.servers": broker.bootstrap_servers}, timeout_s=TIMEOUT_S)
    wanted = [_kept(topic) for topic in wanted_topics(load_topics(), partitions=partitions) if topic.name in names]
    admin.apply(plan(admin.read(names), wanted))
    wait_until(
        lambda: plan(admin.read(names), wanted).is_empty,
        timeout_s=TIMEOUT_S,
        what="the pipeline's topics on the broker",
    )
    try:
        yield broker
    finally:
        if isinstance(broker, KafkaBroker):
            client = broker.admin()
            for deleted in client.delete_topics(list(names)).values():
                deleted.result(TIMEOUT_S)
            wait_until(lambda: not admin.read(names), timeout_s=TIMEOUT_S, what="the end of the pipeline's topics")


def _kept(topic: TopicState) -> TopicState:
    """Keep records whatever their event time: those of these tests are years old."""
    config = dict(topic.config)
    if "retention.ms" in config:
        config["retention.ms"] = "-1"
    return TopicState(name=topic.name, partitions=topic.partitions, replication=topic.replication, config=config)


def produce(broker: Broker, records: Iterable[Raw], topic: str = topics.METRICS_RAW, **options: Any) -> int:
    """Produce records and wait until all are acknowledged; give how many."""
    configuration: dict[str, Any] = {
        "bootstrap.servers": broker.bootstrap_servers,
        "partitioner": "fnv1a",
        "compression.type": "lz4",
        "message.max.bytes": 8 * 1024 * 1024,
        "linger.ms": 20,
    }
    failures: list[str] = []
    configuration["on_delivery"] = lambda error, _record: failures.append(error.str()) if error is not None else None
    producer = Producer({**configuration, **options})
    count = 0
    for record in records:
        place: dict[str, Any] = {} if record.partition is None else {"partition": record.partition}
        time_ms = max(record.timestamp_ms, 0)  # librdkafka takes 0 for now
        producer.produce(topic, record.value, record.key, timestamp=time_ms, headers=list(record.headers), **place)
        count += 1
        if count % 10_000 == 0:
            producer.poll(0)
    assert producer.flush(TIMEOUT_S) == 0
    assert not failures, failures[:3]
    return count


def read_topic(broker: Broker, topic: str, partitions: Collection[int] | None = None) -> list[Stored]:
    """Return everything that a topic, or some of its partitions, hold now, in the order of partitions and offsets."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": "reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.message.max.bytes": 16 * 1024 * 1024,
            "fetch.wait.max.ms": 20,
        }
    )
    # the end is where a fetch says so: the embedded broker's list of latest offsets is too low
    waiting = set(partitions or consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in waiting])
    found: list[Stored] = []

    def all_read() -> bool:
        for message in consumer.consume(10_000, timeout=0.1):
            error = message.error()
            if error is None:
                found.append(_stored(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                waiting.discard(message.partition())
        return not waiting

    try:
        wait_until(all_read, timeout_s=TIMEOUT_S, what=f"the end of {topic}", every_s=0.0)
    finally:
        consumer.close()
    return sorted(found, key=lambda record: (record.partition, record.offset))


def _stored(message: Any) -> Stored:
    return Stored(
        message.partition(),
        message.offset(),
        message.key(),
        message.value() or b"",
        message.timestamp()[1],
        dict(message.headers() or ()),
    )

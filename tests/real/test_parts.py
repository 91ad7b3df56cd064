"""Each real part, and the embedded broker, does what the other tests need of it."""

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.real.kafka import KafkaBroker
from tests.real.tansu import EmbeddedBroker
from tests.waiting import wait_until

TIMEOUT_S = 30.0
COUNT = 1000


def produce(bootstrap_servers: str, topic: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap_servers, "compression.type": "lz4", "acks": "all"})
    for number in range(COUNT):
        producer.produce(topic, key=b"ns/infra/node", value=b"%d" % number, partition=0)
    assert producer.flush(TIMEOUT_S) == 0


def consume(bootstrap_servers: str, topic: str) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": topic, "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    values: list[bytes] = []

    def all_read() -> bool:
        batch = consumer.consume(COUNT, timeout=0.1)
        values.extend(message.value() or b"" for message in batch if not message.error())
        return len(values) >= COUNT

    try:
        wait_until(all_read, timeout_s=TIMEOUT_S, what=f"{COUNT} records of {topic}")
    finally:
        consumer.close()
    return values


@pytest.mark.real
def test_kafka_gives_back_lz4_records_in_order(kafka_broker: KafkaBroker) -> None:
    topic = kafka_broker.create_topic("parts.records", partitions=1)
    produce(kafka_broker.bootstrap_servers, topic)
    assert consume(kafka_broker.bootstrap_servers, topic) == [b"%d" % number for number in range(COUNT)]


@pytest.mark.real
def test_kafka_keeps_what_it_acknowledged_over_a_kill(own_kafka_broker: KafkaBroker) -> None:
    topic = own_kafka_broker.create_topic("parts.kept", partitions=1)
    produce(own_kafka_broker.bootstrap_servers, topic)
    own_kafka_broker.kill()
    own_kafka_broker.start()
    assert len(consume(own_kafka_broker.bootstrap_servers, topic)) == COUNT


def test_embedded_broker_gives_back_lz4_records_in_order(embedded_broker: EmbeddedBroker) -> None:
    topic = "parts.embedded"
    produce(embedded_broker.bootstrap_servers, topic)
    assert consume(embedded_broker.bootstrap_servers, topic) == [b"%d" % number for number in range(COUNT)]

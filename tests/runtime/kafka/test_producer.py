"""The producer: what is flushed is there, where Telegraf would put it; what is not, is an error."""

import itertools
import os

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from pipeline.runtime.kafka.producer import DeliveryError, FlushTimeoutError, RecordProducer
from pipeline.runtime.kafka.settings import KafkaSettings
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.kafka import KafkaBroker
from tests.support.servers.process import free_ports
from tests.support.waiting import wait_until

_names = itertools.count()


def new_name() -> str:
    return f"producer-{os.getpid()}-{next(_names)}"


def fnv1a_partition(key: bytes, partitions: int) -> int:
    """Return the partition that Sarama, and so Telegraf, chooses: 32-bit FNV-1a, signed, modulo, absolute."""
    digest = 0x811C9DC5
    for byte in key:
        digest = (digest ^ byte) * 0x01000193 % 2**32
    signed = digest - 2**32 if digest >= 2**31 else digest
    return abs(signed) % partitions


def read(bootstrap_servers: str, topic: str, count: int) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "reader", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(4)])
    found: list[Message] = []

    def is_read() -> bool:
        found.extend(message for message in consumer.consume(1000, 0.1) if message.error() is None)
        return len(found) >= count

    try:
        wait_until(is_read, timeout_s=30, what=f"{count} records")
    finally:
        consumer.close()
    return found


def test_flushed_records_are_there_with_keys_headers_and_telegrafs_partition(embedded_broker: EmbeddedBroker) -> None:
    topic = new_name()
    producer = RecordProducer(KafkaSettings(bootstrap_servers=embedded_broker.bootstrap_servers))
    keys: list[bytes | None] = [b"host-%d" % i for i in range(500)]
    producer.produce_many(topic, keys, [b"value of %s" % key for key in keys if key is not None])
    producer.produce(topic, key=None, value=b"one", headers=[("origin", b"3")])
    producer.flush(20)
    assert len(producer) == 0
    messages = read(embedded_broker.bootstrap_servers, topic, 501)
    producer.close(5)
    keyed = [message for message in messages if message.key()]
    assert {message.key(): message.value() for message in keyed} == {key: b"value of %s" % key for key in keys if key}
    assert all(message.partition() == fnv1a_partition(message.key() or b"", 4) for message in keyed)
    assert [message.headers() for message in messages if not message.key()] == [[("origin", b"3")]]


def test_a_flush_without_a_broker_says_how_many_records_wait() -> None:
    producer = RecordProducer(KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}"))
    producer.produce_many(new_name(), [b"k"] * 7, [b"v"] * 7)
    with pytest.raises(FlushTimeoutError, match=r"7 records are not acknowledged by Kafka after 0.2 s"):
        producer.flush(0.2)
    with pytest.raises(FlushTimeoutError, match="7 records"):
        producer.close(0.1)


@pytest.mark.real
def test_a_record_that_the_broker_refuses_is_raised_once_by_the_next_flush(kafka_broker: KafkaBroker) -> None:
    topic = kafka_broker.create_topic(new_name(), config={"max.message.bytes": "2000"})
    producer = RecordProducer(KafkaSettings(bootstrap_servers=kafka_broker.bootstrap_servers, compression="none"))
    producer.produce(topic, key=b"k", value=bytes(100_000))
    with pytest.raises(DeliveryError, match="Kafka did not take 1 records: 1 MSG_SIZE_TOO_LARGE"):
        producer.flush(20)
    producer.produce(topic, key=b"k", value=b"small")
    producer.flush(20)
    producer.close(5)

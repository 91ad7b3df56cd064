"""Messages reach Kafka as a Telegraf agent would send them, and none is lost without being counted."""

import time
import uuid
from collections.abc import Callable, Iterator
from threading import Event

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.sources.base import RawRecord
from pipeline.sources.fleet.fleet import Fleet
from pipeline.sources.kafka_output import Delivery, KafkaOutput, Pace
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.process import free_ports
from tests.support.waiting import wait_until

AT_ONCE = Pace(0)
START_MS = 1_780_272_000_000


@pytest.fixture
def topic(embedded_broker: EmbeddedBroker) -> str:
    name = f"source-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": embedded_broker.bootstrap_servers})
    admin.create_topics([NewTopic(name, num_partitions=4)])[name].result(20)
    return name


@pytest.fixture
def read(embedded_broker: EmbeddedBroker, topic: str) -> Iterator[Callable[[int], list[KafkaMessage]]]:
    """Return a function that reads so many messages from the start of the topic."""
    consumer = Consumer({"bootstrap.servers": embedded_broker.bootstrap_servers, "group.id": topic})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(4)])

    def read_messages(expected: int) -> list[KafkaMessage]:
        found: list[KafkaMessage] = []

        def read_more() -> bool:
            found.extend(message for message in consumer.consume(500, 0.1) if message.error() is None)
            return len(found) >= expected

        wait_until(read_more, timeout_s=30, what=f"{expected} messages")
        return found

    yield read_messages
    consumer.close()


def output(broker: EmbeddedBroker, topic: str, *, stop: Event | None = None) -> KafkaOutput:
    return KafkaOutput(topic, {"bootstrap.servers": broker.bootstrap_servers}, stop=stop or Event())


def nowhere(**options: float) -> KafkaOutput:
    """Return an output to a port where nobody listens."""
    connection = {"bootstrap.servers": f"127.0.0.1:{free_ports(1)[0]}"}
    return KafkaOutput("lost", connection, stop=Event(), delivery_timeout_s=0.3, **options)


def some(n: int) -> list[RawRecord]:
    return [RawRecord(b"ns/mci/n%d" % i, b"cpu x=%d" % i, START_MS + i) for i in range(n)]


def test_each_message_arrives_once_with_its_key_value_and_time(
    embedded_broker: EmbeddedBroker, topic: str, read: Callable[[int], list[KafkaMessage]]
) -> None:
    batches = [Fleet(20, 1, START_MS + n * 10_000, 10_000).tick() for n in range(3)]
    delivery = output(embedded_broker, topic).send(batches, AT_ONCE)
    assert (delivery.sent, delivery.delivered, delivery.failed, delivery.undelivered) == (360, 360, 0, 0)
    found = [(message.key(), message.value(), message.timestamp()[1]) for message in read(360)]
    assert sorted(found) == sorted(tuple(message) for batch in batches for message in batch)


def test_a_resource_lies_in_the_partition_where_its_telegraf_agent_puts_it(
    embedded_broker: EmbeddedBroker, topic: str, read: Callable[[int], list[KafkaMessage]]
) -> None:
    # Telegraf's own output put this key into partition 1 of 4 (recorded from a real agent).
    output(embedded_broker, topic).send([[RawRecord(b"host-a", b"cpu x=1", START_MS)]], AT_ONCE)
    assert [message.partition() for message in read(1)] == [1]


def test_a_stop_ends_an_endless_source_and_delivers_what_was_sent(
    embedded_broker: EmbeddedBroker, topic: str, read: Callable[[int], list[KafkaMessage]]
) -> None:
    stop = Event()

    def until_a_thousand(delivery: Delivery) -> None:
        if delivery.sent >= 1000:
            stop.set()

    delivery = output(embedded_broker, topic, stop=stop).send(
        Fleet(10, 1, START_MS, 10_000), AT_ONCE, on_progress=until_a_thousand
    )
    assert 1000 <= delivery.sent <= 1060
    assert delivery.delivered == delivery.sent == len(read(delivery.sent))


def test_a_stop_ends_the_wait_for_the_next_message(embedded_broker: EmbeddedBroker, topic: str) -> None:
    stop = Event()
    sender = output(embedded_broker, topic, stop=stop)
    hour_apart = [[RawRecord(b"k", b"cpu x=1", START_MS + n * 3_600_000)] for n in range(2)]
    delivery = sender.send(hour_apart, Pace(), on_progress=lambda _delivery: stop.set())
    assert delivery.delivered == 1


def test_messages_go_out_no_earlier_than_their_times_say(embedded_broker: EmbeddedBroker, topic: str) -> None:
    apart = [[RawRecord(b"k", b"cpu x=1", START_MS + n * 100)] for n in range(4)]
    started_s = time.monotonic()
    assert output(embedded_broker, topic).send(apart, Pace()).delivered == 4
    assert time.monotonic() - started_s >= 0.3


def test_a_rate_is_not_exceeded(embedded_broker: EmbeddedBroker, topic: str) -> None:
    started_s = time.monotonic()
    delivery = output(embedded_broker, topic).send([some(50) for _ in range(6)], Pace(1000.0))
    assert delivery.delivered == 300
    assert time.monotonic() - started_s >= 0.28  # the last of fifteen slices of 20 is due then


@pytest.mark.parametrize(
    ("pace", "sent", "elapsed_ms", "due_s"),
    [
        (Pace(), 0, 0, 0.0),
        (Pace(), 77, 2500, 2.5),
        (Pace(50.0), 100, 2500, 2.0),
        (Pace(0), 100, 2500, 0.0),
    ],
)
def test_a_message_is_due_by_its_time_by_the_rate_or_at_once(
    pace: Pace, sent: int, elapsed_ms: int, due_s: float
) -> None:
    assert pace.due_s(sent, elapsed_ms) == due_s


@pytest.mark.parametrize(("rate", "length"), [(None, 2000), (0.0, 2000), (1.0, 1), (10_000.0, 200), (1e6, 2000)])
def test_the_clock_is_looked_at_fifty_times_a_second(rate: float | None, length: int) -> None:
    assert Pace(rate).slice_length == length


def test_without_a_broker_every_message_is_counted_as_failed() -> None:
    delivery = nowhere().send([some(10)], AT_ONCE)
    assert (delivery.sent, delivery.failed, delivery.delivered) == (10, 10, 0)
    assert "Message timed out" in (delivery.first_failure or "")


def test_a_full_queue_makes_the_source_wait_and_loses_nothing() -> None:
    delivery = nowhere(queue_messages=10).send([some(25)], AT_ONCE)
    assert delivery.queue_full > 0
    assert (delivery.sent, delivery.failed, delivery.delivered) == (25, 25, 0)


def test_a_message_that_is_too_large_fails_alone(
    embedded_broker: EmbeddedBroker, topic: str, read: Callable[[int], list[KafkaMessage]]
) -> None:
    huge = RawRecord(b"k", b"x" * 2_000_000, START_MS)
    delivery = output(embedded_broker, topic).send([[*some(2), huge, *some(1)]], AT_ONCE)
    assert (delivery.sent, delivery.failed, delivery.delivered) == (4, 1, 3)
    assert "too large" in (delivery.first_failure or "")
    assert len(read(3)) == 3


def test_progress_is_told_after_each_slice(embedded_broker: EmbeddedBroker, topic: str) -> None:
    counts: list[int] = []
    sender = output(embedded_broker, topic)
    sender.send([some(10), some(5)], AT_ONCE, on_progress=lambda delivery: counts.append(delivery.sent))
    assert counts == [10, 15]

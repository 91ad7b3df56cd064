"""Each real part, and the embedded broker, does what the other tests need of it; who asks for none gets none."""

from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.influxdb import InfluxDB
from tests.support.servers.kafka import KafkaBroker
from tests.support.servers.process import ServerProcess
from tests.support.servers.telegraf import Telegraf, telegraf_version
from tests.support.waiting import wait_until

TIMEOUT_S = 30.0
COUNT = 1000


def produce(bootstrap_servers: str, topic: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap_servers, "compression.type": "lz4", "acks": "all"})
    for number in range(COUNT):
        producer.produce(topic, key=b"ns/infra/node", value=b"%d" % number, partition=0)
    assert producer.flush(TIMEOUT_S) == 0


def consume(bootstrap_servers: str, topic: str, *, count: int = COUNT) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": topic, "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    values: list[bytes] = []

    def all_read() -> bool:
        batch = consumer.consume(count, timeout=0.1)
        values.extend(message.value() or b"" for message in batch if not message.error())
        return len(values) >= count

    try:
        wait_until(all_read, timeout_s=TIMEOUT_S, what=f"{count} records of {topic}")
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


@pytest.mark.real
def test_influxdb_gives_back_what_was_written(influxdb: InfluxDB) -> None:
    bucket = influxdb.create_bucket("parts.written")
    influxdb.write(b"cpu,vm=a usage_user_min=1.5 60000000000\ncpu,vm=b usage_user_min=2 60000000000\n", bucket=bucket)
    rows = influxdb.query(f'from(bucket: "{bucket}") |> range(start: 1970-01-01T00:00:00Z)')
    assert sorted((row["vm"], row["_field"], row["_value"], row["_time"]) for row in rows) == [
        ("a", "usage_user_min", "1.5", "1970-01-01T00:01:00Z"),
        ("b", "usage_user_min", "2", "1970-01-01T00:01:00Z"),
    ]


@pytest.mark.real
def test_influxdb_keeps_what_it_acknowledged_over_a_kill(own_influxdb: InfluxDB) -> None:
    own_influxdb.write(b"cpu,vm=a usage_user_min=1.5 60000000000\n")
    own_influxdb.kill()
    own_influxdb.start()
    rows = own_influxdb.query(f'from(bucket: "{own_influxdb.bucket}") |> range(start: 1970-01-01T00:00:00Z)')
    assert [row["_value"] for row in rows] == ["1.5"]


@pytest.mark.real
def test_telegraf_is_the_version_that_was_built(telegraf_bin: Path) -> None:
    assert telegraf_version(telegraf_bin).startswith("Telegraf 1.37.2")


TELEGRAF_TO_KAFKA = """
[agent]
  interval = "1s"
  flush_interval = "1s"
  hostname = "host-a"
  precision = "0s"
[[inputs.mem]]
[[outputs.kafka]]
  brokers = ["{brokers}"]
  topic = "{topic}"
  routing_tag = "host"
  compression_codec = 3
  data_format = "influx"
"""


@pytest.mark.real
def test_telegraf_produces_to_kafka(telegraf_bin: Path, kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    topic = kafka_broker.create_topic("parts.telegraf", partitions=1)
    agent = Telegraf(tmp_path, TELEGRAF_TO_KAFKA.format(brokers=kafka_broker.bootstrap_servers, topic=topic)).start()
    try:
        values = consume(kafka_broker.bootstrap_servers, topic, count=2)
    finally:
        agent.stop()
    assert all(value.startswith(b"mem,host=host-a ") for value in values)


def test_a_test_that_asks_for_no_server_starts_none(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="a test without the marker `server` starts a server"):
        ServerProcess(["sleep", "60"], tmp_path / "log")

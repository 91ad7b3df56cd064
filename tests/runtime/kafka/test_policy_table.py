"""The policies in force are what the topic says, and a record that cannot be used changes nothing."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from confluent_kafka import Producer

import topics
from pipeline.core.policies import policy_of
from pipeline.factory import Settings
from pipeline.runtime.kafka.policy_table import LARGEST_POLICY_BYTES, PolicyTable, PolicyTableError
from pipeline.runtime.observability.metrics import Metrics
from tests.support.servers.process import free_ports
from tests.support.stages.brokers import Broker, pipeline_topics
from tests.support.waiting import wait_until


@pytest.fixture(params=["embedded_broker", "kafka_broker"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    found: Broker = request.getfixturevalue(request.param)
    with pipeline_topics(found, names=(topics.POLICIES,)):
        yield found


@contextmanager
def log_of(broker: Broker, metrics: Metrics | None = None) -> Iterator[PolicyTable]:
    log = PolicyTable(kafka_of(broker.bootstrap_servers).kafka, metrics or Metrics(), "test", {"number": json.loads})
    log.start(30.0)
    try:
        yield log
    finally:
        log.close()


def kafka_of(servers: str) -> Settings:
    return Settings(kafka={"bootstrap_servers": servers})


def write(broker: Broker, *records: tuple[str, bytes | None]) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "message.max.bytes": 8_000_000})
    for key, value in records:
        producer.produce(topics.POLICIES, value, key.encode())
    assert producer.flush(30) == 0


def until(log: PolicyTable, policies: dict[str, object]) -> None:
    wait_until(lambda: log.policies("number") == policies, timeout_s=30.0, what=f"{policies} in force")


def test_all_that_is_there_is_read_at_the_start_and_changes_are_followed(broker: Broker) -> None:
    write(
        broker,
        ("number/old", b"1"),
        ("number/a", b"1"),
        ("number/b", b"2"),
        ("other/x", b"3"),
        ("number/a", b"4"),
        ("number/old", None),
    )
    with log_of(broker) as log:
        assert log.policies("number") == {"a": 4, "b": 2}
        version = log.version
        write(broker, ("number/b", None), ("number/c", b"5"))
        until(log, {"a": 4, "c": 5})
        assert log.version != version
        version = log.version
        write(broker, ("other/x", b"6"), ("number/c", b"5"), ("number/d", b"7"))
        until(log, {"a": 4, "c": 5, "d": 7})
        assert log.version in {version + 1, version + 2}
        write(broker, ("number/a", None), ("number/c", None), ("number/d", None))
        until(log, {})


def test_a_bad_record_is_counted_and_logged_and_the_policy_before_stays(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    write(broker, ("number/a", b"1"), ("number/a", b"{"), ("a", b"1"), ("number/a", b" " * LARGEST_POLICY_BYTES + b"2"))
    with caplog.at_level(logging.ERROR), log_of(broker, metrics) as log:
        assert log.policies("number") == {"a": 1}
        write(broker, ("number/a", b"nonsense"), ("number/b", b"2"))
        until(log, {"a": 1, "b": 2})
    for reason, count in (("key", 1), ("value", 2), ("too_large", 1)):
        assert metrics.refused_policies.labels("test", reason)._value.get() == count
    assert caplog.text.count("what was in force stays") == 4
    assert "its key must be KIND/ID, got b'a'" in caplog.text


def test_a_missing_broker_is_an_error_that_says_so() -> None:
    (port,) = free_ports(1)
    log = PolicyTable(kafka_of(f"127.0.0.1:{port}").kafka, Metrics(), "test", {})
    with pytest.raises(PolicyTableError, match=r"the policies cannot be read: no Kafka broker at 127\.0\.0\.1"):
        log.start(1.0)


def test_a_stored_policy_on_forecasts_is_counted_as_refused(broker: Broker) -> None:
    metrics = Metrics()
    policies = [
        {"id": name, "on": source, "levels": {"warn": {"fire": 1}}}
        for name, source in (("f", "forecast"), ("s", "sample"))
    ]
    write(broker, *((f"tried/{each['id']}", json.dumps(each).encode()) for each in policies))
    parsers = {"tried": partial(policy_of, "trigger")}  # brokers are shared: a kind of its own
    table = PolicyTable(kafka_of(broker.bootstrap_servers).kafka, metrics, "test", parsers)
    table.start(30.0)
    try:
        assert list(table.policies("tried")) == ["s"]
    finally:
        table.close()
    assert metrics.refused_policies.labels("test", "value")._value.get() == 1

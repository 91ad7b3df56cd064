"""The agent's example configuration sends what the metric catalogue promises, keyed as the topics need it."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

import topics
from schemas.catalogue import load_catalogue
from tests.support.servers.kafka import KafkaBroker
from tests.support.servers.telegraf import Telegraf
from tests.support.waiting import wait_until

FILE = Path(__file__).resolve().parents[2] / "deploy/telegraf/telegraf.conf"
WITHOUT_PLUGIN = {"linux_cpu"}
"""Measurements of VMs that the file has as a comment only."""

# not sent while nobody is logged in
ONLY_WITH_SESSIONS = {("system", "n_users"), ("system", "n_unique_users")}


def configuration() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text())


def test_it_reads_every_measurement_that_the_catalogue_promises_of_a_vm() -> None:
    promised = {metric.measurement for metric in load_catalogue().metrics if metric.scope == "vm"}

    assert configuration()["inputs"].keys() == promised - WITHOUT_PLUGIN


def test_it_sends_to_the_raw_topic_with_an_identity_tag_as_key() -> None:
    [output] = configuration()["outputs"]["kafka"]

    assert output["topic"] == topics.METRICS_RAW
    assert output["routing_tag"] in configuration()["global_tags"]
    assert {"ns_id", "infra_id", "node_id", "region", "csp"} == configuration()["global_tags"].keys()


@pytest.mark.real
def test_a_real_agent_sends_the_promised_fields_under_its_nodes_key(
    telegraf_bin: Path, kafka_broker: KafkaBroker, tmp_path: Path
) -> None:
    topic = kafka_broker.create_topic("deploy.telegraf", partitions=1)
    text = FILE.read_text()
    for name, value in {
        "${KAFKA_BROKER}": kafka_broker.bootstrap_servers,
        "${NODE_ID}": "node-7",
        '"metrics.raw"': f'"{topic}"',
        'interval = "10s"': 'interval = "1s"',
        'flush_interval = "5s"': 'flush_interval = "1s"',
        'flush_jitter = "2s"': 'flush_jitter = "0s"',
    }.items():
        text = text.replace(name, value)
    promised = {
        (metric.measurement, metric.field)
        for metric in load_catalogue().metrics
        if metric.scope == "vm" and metric.measurement not in WITHOUT_PLUGIN
    }
    keys: set[bytes | None] = set()
    seen: set[tuple[str, str]] = set()
    consumer = Consumer({"bootstrap.servers": kafka_broker.bootstrap_servers, "group.id": topic})
    consumer.assign([TopicPartition(topic, 0, 0)])

    def all_seen() -> bool:
        for message in consumer.consume(500, timeout=0.1):
            if message.error() is None:
                keys.add(message.key())
                series, fields, _ = (message.value() or b"").decode().rsplit(" ", 2)
                seen.update((series.split(",")[0], field.split("=")[0]) for field in fields.split(","))
        return promised - ONLY_WITH_SESSIONS <= seen

    agent = Telegraf(tmp_path, text).start()
    try:
        wait_until(all_seen, timeout_s=30, what="every promised field")
    finally:
        agent.stop()
        consumer.close()
    assert keys == {b"node-7"}

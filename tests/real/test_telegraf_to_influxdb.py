"""The whole way on real parts: Telegraf → Kafka → worker → InfluxDB, against windows of Telegraf's own file output."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import topics
from tests.support.servers.influxdb import InfluxDB
from tests.support.servers.kafka import KafkaBroker
from tests.support.servers.telegraf import Telegraf
from tests.support.stages.brokers import Broker, pipeline_topics, read_topic
from tests.support.stages.databases import Point, assert_same_points, points_in_influxdb, points_of
from tests.support.stages.streams import reference_of, settings_of
from tests.support.stages.worker import Worker, running

EVERY_S = 5
WHOLE_WINDOWS = 2
"""So many windows of a second's samples each must lie in the database, with those before and after them."""

TELEGRAF = """
[global_tags]
  ns_id = "ns1"
  infra_id = "m1"
  node_id = "node-1"
[agent]
  interval = "1s"
  flush_interval = "1s"
  omit_hostname = true
[[inputs.cpu]]
  percpu = true
  totalcpu = true
  collect_cpu_time = true
  report_active = true
[[inputs.mem]]
[[inputs.swap]]
[[inputs.system]]
[[inputs.kernel]]
[[inputs.processes]]
[[inputs.net]]
  ignore_protocol_stats = true
[[inputs.netstat]]
[[inputs.disk]]
[[inputs.diskio]]
[[outputs.kafka]]
  brokers = ["{brokers}"]
  topic = "{topic}"
  routing_tag = "node_id"
  compression_codec = 3
  required_acks = -1
  data_format = "influx"
[[outputs.file]]
  files = ["{file}"]
  data_format = "influx"
"""


@pytest.fixture
def kafka(kafka_broker: KafkaBroker) -> Iterator[Broker]:
    """The real broker with the pipeline's topics, empty."""
    with pipeline_topics(kafka_broker) as broker:
        yield broker


@pytest.mark.real
def test_the_windows_in_the_database_are_those_of_the_agents_own_file(
    telegraf_bin: Path, kafka: Broker, influxdb: InfluxDB, tmp_path: Path
) -> None:
    bucket = influxdb.create_bucket("telegraf-to-influxdb")
    store = {"name": "region", "kind": "influxdb", "url": influxdb.url, "org": influxdb.org, "bucket": bucket}
    windows = {"every_s": EVERY_S, "grace_s": 1, "allowed_lateness_s": 60, "idle_close_s": 3}
    settings = settings_of(kafka, rules=False, windows=windows, stores=[{**store, "token": influxdb.token}])
    file = tmp_path / "telegraf.lp"
    brokers = kafka.bootstrap_servers
    agent = Telegraf(tmp_path, TELEGRAF.format(brokers=brokers, topic=topics.METRICS_RAW, file=file))
    with running(Worker(tmp_path / "worker", settings, stages="aggregate,sink")) as worker:
        agent.start()
        try:
            worker.wait_for(
                lambda _: whole_windows(points_in_influxdb(influxdb, bucket)) >= WHOLE_WINDOWS,
                f"{WHOLE_WINDOWS} whole windows in the database",
            )
        finally:
            agent.stop()
        sent = len(file.read_bytes().splitlines())
        worker.wait_for(
            lambda scrape: (
                scrape.total("input_records_total", stage="aggregate") >= sent
                and scrape.total("open_windows") == 0
                and scrape.total("written_points_total") + scrape.total("superseded_points_total")
                >= scrape.total("emitted_windows_total") + scrape.total("corrected_windows_total")
            ),
            "the last windows in the database",
        )
        balance = worker.scrape()

    lines = file.read_bytes().splitlines()
    raw = read_topic(kafka, topics.METRICS_RAW)
    assert sorted(record.value.rstrip(b"\n") for record in raw) == sorted(lines)
    assert {record.key for record in raw} == {b"node-1"}
    assert len({record.partition for record in raw}) == 1

    reference = reference_of(0, settings)
    want = reference.add(lines, 0, 2**62)
    want += reference.finish()
    assert reference.counts["too_late"] == reference.counts["refused"] == 0
    assert_same_points(points_in_influxdb(influxdb, bucket), points_of(want))
    assert balance.total("input_samples_total") == reference.counts["parsed"]
    assert balance.total("aggregated_samples_total") + balance.total("late_samples_total") == reference.counts["parsed"]
    assert balance.total("filtered_samples_total", reason="string") == reference.counts["filtered"] > 0
    assert not read_topic(kafka, topics.DEAD_LETTERS)


def whole_windows(points: dict[Point, float]) -> int:
    """Count the windows of the whole CPU that have a sample of every second."""
    return sum(
        value == EVERY_S
        for (measurement, tags, _, name), value in points.items()
        if (measurement, name) == ("cpu", "usage_active_count") and ("cpu", "cpu-total") in tags
    )

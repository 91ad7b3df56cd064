"""Windows go to databases of their region, history and events to the integrated one, through outages and restarts."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

import topics
from pipeline.stores.embedded.history import EmbeddedEvents
from schemas.reasons import DeadLetterReason
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.influxdb import InfluxDB
from tests.support.servers.kafka import KafkaBroker
from tests.support.servers.proxy import Mode, proxy_of
from tests.support.stages.brokers import USED, Broker, Raw, pipeline_topics, produce
from tests.support.stages.databases import assert_same_points, influxdb_store, points_in_influxdb, points_of
from tests.support.stages.sinks import dead_letters_of, decided
from tests.support.stages.streams import settings_of
from tests.support.stages.worker import Worker, running
from tests.support.stores.chunks import HOUR_MS, START_MS, alert, anomaly, chunk, points_in, rows_of
from tests.support.stores.windows import functions, window

TOPICS = (*USED, topics.METRICS_DOWNSAMPLED, topics.ANOMALIES, topics.ALERTS)
OLD, NEW = [(0, 1.0, "l"), (600_000, 5.0, "l")], [(0, 1.5, "l"), (900_000, 9.0, "s")]
LATER = [(HOUR_MS, 3.0, "l")]


@pytest.fixture
def broker(kafka_broker: KafkaBroker) -> Iterator[Broker]:
    with pipeline_topics(kafka_broker, names=TOPICS) as broker:
        yield broker


def send(broker: Broker, topic: str, *values: bytes) -> None:
    produce(broker, [Raw(value, b"a", partition=0) for value in values], topic)


def later() -> bytes:
    return chunk([(0, 3.0, "l")], start_ms=START_MS + HOUR_MS, revision=6)


@pytest.mark.real
def test_two_databases_share_a_region_and_the_integrated_one_has_everything_after_an_outage_and_a_restart(
    broker: Broker, influxdb: InfluxDB, tmp_path: Path
) -> None:
    one, two, whole = (influxdb.create_bucket(f"shared-{name}") for name in ("one", "two", "all"))
    windows = [window({"x": functions(1.0)}, tags={"host": str(n), "region": "eu"}, revision=n) for n in range(40)]
    with proxy_of(influxdb.url) as proxy:
        stores = [
            influxdb_store("one", influxdb, one, "eu"),
            influxdb_store("two", influxdb, two, "eu"),
            influxdb_store("all", influxdb, whole, url=proxy.url, role="integrated"),
        ]
        worker = Worker(tmp_path / "worker", settings_of(broker, stores=stores), stages="sink")
        proxy.until_told(Mode.RESET)
        with running(worker):
            send(broker, topics.METRICS_AGG, *windows)
            send(broker, topics.METRICS_DOWNSAMPLED, chunk(OLD, revision=5))
            worker.wait_for(lambda scrape: decided(scrape) == 40, "the windows")
            worker.wait_for(lambda scrape: scrape.total("paused_partitions") > 0, "the pause")
            send(broker, topics.METRICS_DOWNSAMPLED, later(), b"no chunk")
            send(broker, topics.ANOMALIES, anomaly())
            send(broker, topics.ALERTS, alert())
            proxy.until_told(Mode.PASS)
            worker.wait_for(lambda scrape: decided(scrape) == 45, "everything")
        with running(worker):  # it remembers nothing
            send(broker, topics.METRICS_DOWNSAMPLED, chunk(NEW, revision=9), chunk(OLD, revision=5))
            scrape = worker.wait_for(lambda scrape: decided(scrape) == 2, "the second revision, and the first again")
    assert scrape.total("superseded_points_total") == 1
    in_one, in_two = points_in_influxdb(influxdb, one), points_in_influxdb(influxdb, two)
    assert in_one
    assert in_two
    assert not {place[1] for place in in_one} & {place[1] for place in in_two}
    assert_same_points({**in_one, **in_two}, points_of(map(orjson.loads, windows)))
    assert points_in(influxdb, whole) == NEW + LATER
    measurements = {row["_measurement"] for row in rows_of(influxdb, whole)}
    assert measurements == {"cpu", "cinnamon_anomalies", "cinnamon_alerts"}
    (dead_letter,) = dead_letters_of(broker, "sink-all-downsampled")
    assert (dead_letter.reason, dead_letter.topic, dead_letter.value) == (
        DeadLetterReason.STORE_REJECTED,
        topics.METRICS_DOWNSAMPLED,
        b"no chunk",
    )


def test_the_embedded_integrated_store_gets_all_three_topics(
    own_embedded_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    path = tmp_path / "history.db"
    with pipeline_topics(own_embedded_broker, names=TOPICS) as broker:
        store = {"name": "all", "kind": "embedded", "path": str(path), "role": "integrated"}
        with running(Worker(tmp_path / "worker", settings_of(broker, stores=[store]), stages="sink")) as worker:
            send(broker, topics.METRICS_DOWNSAMPLED, chunk(OLD, revision=5), chunk(NEW, revision=9))
            send(broker, topics.ANOMALIES, anomaly())
            send(broker, topics.ALERTS, alert())
            worker.wait_for(lambda scrape: decided(scrape) == 4, "everything")
    for topic in ("anomalies", "alerts"):
        events = EmbeddedEvents(path, topic)
        assert len(events.events(START_MS, START_MS + 1)) == 1
        events.close()

"""Fixtures of all tests: the real parts, one of each for the whole run."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.influxdb import InfluxDB
from tests.support.servers.kafka import KafkaBroker
from tests.support.servers.process import made_or_skipped, permit_servers
from tests.support.servers.telegraf import telegraf_binary

REAL = {"kafka_broker", "own_kafka_broker", "influxdb", "own_influxdb", "postgresql", "telegraf_bin"}
SERVERS = REAL | {"embedded_broker", "module_embedded_broker", "own_embedded_broker"}
"""Fixtures that start a server: what uses one is not of the fast tier."""
BROKER_VARIABLE = "CALF_TANSU_BIN"
"""Names the embedded broker's program to all that start one."""


def pytest_configure() -> None:
    """End on SIGTERM as on Ctrl-C, and undo what ``nohup`` and a shell's background jobs do.

    Programs under test inherit which signals are ignored.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start servers, by the fixtures that they use or that a parameter names."""
    for item in items:
        chosen = item.callspec.params.values() if hasattr(item, "callspec") else ()
        used = {*getattr(item, "fixturenames", ()), *(value for value in chosen if isinstance(value, str))}
        if used & REAL:
            item.add_marker("real")
        if used & SERVERS or item.get_closest_marker("real"):
            item.add_marker("server")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a test start servers only where it says so, and its programs an embedded broker."""
    permitted = item.get_closest_marker("server") is not None
    permit_servers(permitted=permitted)
    os.environ.pop(BROKER_VARIABLE, None)
    if not permitted:
        os.environ[BROKER_VARIABLE] = "/a test without the marker `server` starts a broker"


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A running Apache Kafka broker; a test makes its own topics, and kills only a broker of its own."""
    broker = made_or_skipped(lambda: KafkaBroker(tmp_path_factory.mktemp("kafka")))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def own_kafka_broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    """An Apache Kafka broker of this test alone, started, that the test may kill and start again."""
    broker = made_or_skipped(lambda: KafkaBroker(tmp_path / "kafka"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def embedded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A running in-memory broker of the package; a test uses topic names of its own."""
    broker = EmbeddedBroker(tmp_path_factory.mktemp("embedded-broker")).start()
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def module_embedded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """An in-memory broker of this module alone, for topics whose names are the same for all."""
    broker = EmbeddedBroker(tmp_path_factory.mktemp("embedded-broker")).start()
    yield broker
    broker.stop()


@pytest.fixture
def own_embedded_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """An in-memory broker of this test alone, started."""
    broker = EmbeddedBroker(tmp_path / "broker").start()
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def influxdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxDB]:
    """A running InfluxDB; a test makes its own buckets, and kills only a server of its own."""
    server = made_or_skipped(lambda: InfluxDB(tmp_path_factory.mktemp("influxdb")))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_influxdb(tmp_path: Path) -> Iterator[InfluxDB]:
    """An InfluxDB of this test alone, started, that the test may kill and start again."""
    server = made_or_skipped(lambda: InfluxDB(tmp_path / "influxdb"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def telegraf_bin() -> Path:
    """The path of the Telegraf agent; a test runs it with ``tests.support.servers.telegraf.Telegraf``."""
    return made_or_skipped(telegraf_binary)

"""Fixtures of all tests: the real parts, one of each for the whole run."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.influxdb import InfluxDB
from tests.support.servers.kafka import KafkaBroker
from tests.support.servers.process import made_or_skipped
from tests.support.servers.telegraf import telegraf_binary


def pytest_configure() -> None:
    """Undo what ``nohup`` and background jobs of a shell do: programs under test inherit which signals are ignored."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


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

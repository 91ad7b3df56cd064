"""The whole system of a fault test, and the seeds that its choices come from."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faults.system import System
from tests.support.servers.influxdb import InfluxDB
from tests.support.servers.kafka import KafkaBroker
from tests.support.stages.brokers import pipeline_topics

FIRST_SEED = 7


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that asks for a seed once for each; the seed stands in the test's name."""
    if "seed" in metafunc.fixturenames:
        first = int(os.environ.get("CINNAMON_FAULT_SEED", FIRST_SEED))
        runs = int(os.environ.get("CINNAMON_FAULT_RUNS", "1"))
        metafunc.parametrize("seed", range(first, first + runs), ids=lambda seed: f"seed{seed}")


@pytest.fixture(autouse=True)
def _named_seed(request: pytest.FixtureRequest) -> None:
    """Say how to run a test that failed once more with the same choices."""
    if "seed" in request.fixturenames:
        print(f"\nCINNAMON_FAULT_SEED={request.getfixturevalue('seed')}")  # noqa: T201  shown when the test fails


@pytest.fixture
def system(kafka_broker: KafkaBroker, influxdb: InfluxDB, tmp_path: Path) -> Iterator[System]:
    """Kafka with empty topics and InfluxDB with an empty bucket; all workers end with the test."""
    with pipeline_topics(kafka_broker), System(kafka_broker, influxdb, tmp_path) as made:
        yield made


@pytest.fixture
def own_system(own_kafka_broker: KafkaBroker, influxdb: InfluxDB, tmp_path: Path) -> Iterator[System]:
    """The same on a broker that the test may kill."""
    with pipeline_topics(own_kafka_broker), System(own_kafka_broker, influxdb, tmp_path) as made:
        yield made

"""The pipeline's topics, empty, for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.kafka import KafkaBroker
from tests.support.stages.brokers import Broker, pipeline_topics


@pytest.fixture
def kafka(kafka_broker: KafkaBroker) -> Iterator[Broker]:
    """The real broker with the pipeline's topics, empty."""
    with pipeline_topics(kafka_broker) as broker:
        yield broker


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Broker]:
    """An embedded broker of this test alone with the pipeline's topics."""
    server = EmbeddedBroker(tmp_path / "broker").start()
    with pipeline_topics(server) as broker:
        yield broker
    server.stop()


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.real)])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Each of the two."""
    found: Broker = request.getfixturevalue(request.param)
    return found

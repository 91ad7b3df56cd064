"""The pipeline's topics, empty, for each test."""

from collections.abc import Iterator

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
def embedded(own_embedded_broker: EmbeddedBroker) -> Iterator[Broker]:
    """An embedded broker of this test alone with the pipeline's topics."""
    with pipeline_topics(own_embedded_broker) as broker:
        yield broker


@pytest.fixture(params=["own_embedded_broker", "kafka_broker"], ids=["embedded", "kafka"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """Each of the two."""
    with pipeline_topics(request.getfixturevalue(request.param)) as broker:
        yield broker

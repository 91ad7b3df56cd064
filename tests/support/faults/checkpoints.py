"""What lies on the topic of checkpoints, and how a test breaks it."""

from typing import Any

import orjson

import topics
from tests.support.servers.kafka import KafkaBroker
from tests.support.stages.brokers import Raw, produce, read_topic

STAGE = "aggregate"


def newest_checkpoints(broker: KafkaBroker) -> dict[int, dict[str, Any]]:
    """Return the newest checkpoint of each partition of the aggregate stage."""
    newest: dict[int, dict[str, Any]] = {}
    for stored in read_topic(broker, topics.CHECKPOINTS):
        stage, _, partition = (stored.key or b"").decode().partition("/")
        if stage == STAGE:
            newest[int(partition)] = orjson.loads(stored.value)
    return newest


def overwrite(broker: KafkaBroker, partition: int, value: bytes | None) -> None:
    """Make something the newest checkpoint of a partition; None deletes it."""
    produce(broker, [Raw(value, f"{STAGE}/{partition}".encode())], topics.CHECKPOINTS)

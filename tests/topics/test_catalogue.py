"""The topic catalogue names every topic once, and the Kubernetes resources are rendered from it."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

import topics
from topics.catalogue import Topic, load_topics
from topics.plan import wanted_topics
from topics.strimzi import render

REPOSITORY = Path(__file__).resolve().parents[2]
MEBIBYTE = 1024 * 1024
TOPIC = Topic(
    name="a.b",
    key="resource",
    value="bytes",
    partitions=3,
    scales=True,
    cleanup="delete",
    retention_ms=60_000,
    written_by="a test",
    description="A topic.",
)


def test_the_constants_are_the_topics_of_the_catalogue() -> None:
    constants = {value for name, value in vars(topics).items() if name.isupper()}

    assert constants == {topic.name for topic in load_topics()}
    assert len(load_topics()) == 11


def test_a_dead_letter_has_room_for_the_largest_raw_record_in_base64() -> None:
    limits = {topic.name: int(topic.config.get("max.message.bytes", MEBIBYTE)) for topic in load_topics()}

    assert limits[topics.METRICS_RAW] > 4 * MEBIBYTE
    assert limits[topics.DEAD_LETTERS] > limits[topics.METRICS_RAW] * 4 / 3 + MEBIBYTE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cleanup": "compact"}, "retention_ms belongs to cleanup delete"),
        ({"retention_ms": None}, "retention_ms belongs to cleanup delete"),
        ({"config": {"retention.ms": "1"}}, "cleanup and retention have fields of their own"),
        ({"name": "A_B"}, "String should match pattern"),
        ({"partitions": 0}, "greater than or equal to 1"),
    ],
)
def test_a_topic_that_contradicts_itself_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Topic.model_validate(TOPIC.model_dump() | change)


def test_a_rendered_topic_has_numbers_as_numbers_and_no_replicas_unless_asked() -> None:
    states = wanted_topics([TOPIC.model_copy(update={"config": {"min.cleanable.dirty.ratio": "0.1"}})])

    assert yaml.safe_load(render(states, cluster="c")) == {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaTopic",
        "metadata": {"name": "a.b", "labels": {"strimzi.io/cluster": "c"}},
        "spec": {
            "topicName": "a.b",
            "partitions": 3,
            "config": {"cleanup.policy": "delete", "retention.ms": 60_000, "min.cleanable.dirty.ratio": 0.1},
        },
    }
    assert yaml.safe_load(render(wanted_topics([TOPIC], replication=3), cluster="c"))["spec"]["replicas"] == 3


def test_the_rendered_manifest_is_in_step_with_the_catalogue() -> None:
    rendered = render(wanted_topics(load_topics()), cluster="cinnamon")

    manifest = (REPOSITORY / "deploy/k8s/topics.yaml").read_text()
    assert manifest == rendered, "run: cinnamon topics render > deploy/k8s/topics.yaml"

"""The topic catalogue as Strimzi ``KafkaTopic`` resources, for Kubernetes."""

from collections.abc import Iterable
from typing import Any

import yaml

from topics.plan import TopicState

HEADER = """\
# Rendered from topics/catalogue.yaml by `cinnamon topics render`; change it there.
# API version v1: Strimzi 0.49 and newer.
"""


def render(topics: Iterable[TopicState], *, cluster: str) -> str:
    """Return the YAML of one resource for each topic.

    Parameters
    ----------
    topics
        The wanted topics; where replication is none, the cluster's default is taken.
    cluster
        The name of the Strimzi ``Kafka`` resource that they belong to.
    """
    documents = [_resource(topic, cluster) for topic in topics]
    return HEADER + yaml.safe_dump_all(documents, sort_keys=False, explicit_start=True, width=120)


def _resource(topic: TopicState, cluster: str) -> dict[str, Any]:
    replicas = {} if topic.replication is None else {"replicas": topic.replication}
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaTopic",
        "metadata": {"name": topic.name, "labels": {"strimzi.io/cluster": cluster}},
        "spec": {
            "topicName": topic.name,
            "partitions": topic.partitions,
            **replicas,
            "config": {setting: yaml.safe_load(value) for setting, value in topic.config.items()},
        },
    }

"""Reading and making topics on a broker. Nothing here can delete a topic, a partition or a record."""

from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException

# the package's documents export these names, its type stubs do not
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from topics.plan import Difference, Plan, TopicState

BROKER_DEFAULT = -1


class BrokerError(RuntimeError):
    """A broker cannot be reached, or refuses what it is asked; the text says which and why."""


class TopicAdmin:
    """The topics of one Kafka cluster.

    Parameters
    ----------
    configuration
        How to connect, in librdkafka's names, with ``bootstrap.servers``.
    timeout_s
        How long one request may take, in seconds.

    Raises
    ------
    BrokerError
        If the configuration is not accepted.
    """

    def __init__(self, configuration: Mapping[str, Any], *, timeout_s: float = 10.0) -> None:
        self._servers = configuration["bootstrap.servers"]
        self._timeout_s = timeout_s
        self._errors: list[KafkaError] = []
        # log_level 0: the client would print its attempts on standard error; what it says is collected instead
        quiet: dict[str, Any] = {
            "log_level": 0,
            "error_cb": self._errors.append,
            "socket.timeout.ms": round(timeout_s * 1000),
        }
        try:
            self._client = AdminClient({**configuration, **quiet})
        except KafkaException as error:
            raise BrokerError(f"Kafka's connection settings are not accepted: {_text(error)}") from error

    def read(self, names: Iterable[str]) -> dict[str, TopicState]:
        """Return the state of those of the named topics that exist.

        Raises
        ------
        BrokerError
            If no broker answers in time, or one refuses.
        """
        try:
            metadata = self._client.list_topics(timeout=self._timeout_s).topics
        except KafkaException as error:
            raise BrokerError(self._unreachable(error)) from error
        found = [name for name in names if name in metadata]
        configs = self._read_configs(found)
        return {
            name: TopicState(
                name=name,
                partitions=len(metadata[name].partitions),
                replication=max((len(each.replicas) for each in metadata[name].partitions.values()), default=0),
                config=configs[name],
            )
            for name in found
        }

    def apply(self, plan: Plan) -> None:
        """Create what is missing and raise what can be raised; the rest of the plan is left alone.

        A topic that someone else created in the meantime is fine.

        Raises
        ------
        BrokerError
            If a broker refuses, or does not answer in time; what was done until then stays.
        """
        if plan.create:
            self._create(plan.create)
        if plan.increase:
            self._raise(plan.increase)

    def _create(self, topics: tuple[TopicState, ...]) -> None:
        new = [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=BROKER_DEFAULT if topic.replication is None else topic.replication,
                config=dict(topic.config),
            )
            for topic in topics
        ]
        for name, future in self._client.create_topics(new, operation_timeout=self._timeout_s).items():
            try:
                future.result(self._timeout_s)
            except (KafkaException, TimeoutError) as error:
                if _code(error) != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise BrokerError(f"topic {name} cannot be created: {_text(error)}") from error

    def _raise(self, differences: tuple[Difference, ...]) -> None:
        resources: dict[str, ConfigResource] = {}
        for difference in differences:
            resource = resources.setdefault(difference.topic, ConfigResource(ResourceType.TOPIC, difference.topic))
            resource.add_incremental_config(
                ConfigEntry(difference.setting, difference.wanted, incremental_operation=AlterConfigOpType.SET)
            )
        for resource, future in self._client.incremental_alter_configs(list(resources.values())).items():
            try:
                future.result(self._timeout_s)
            except (KafkaException, TimeoutError) as error:
                raise BrokerError(f"settings of topic {resource.name} cannot be raised: {_text(error)}") from error

    def _read_configs(self, names: list[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        answers = self._client.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in names])
        configs = {}
        for resource, future in answers.items():
            try:
                entries = future.result(self._timeout_s)
            except (KafkaException, TimeoutError) as error:
                raise BrokerError(f"settings of topic {resource.name} cannot be read: {_text(error)}") from error
            configs[resource.name] = {name: entry.value for name, entry in entries.items() if entry.value is not None}
        return configs

    def _unreachable(self, error: KafkaException) -> str:
        """Return why there was no answer: what the client saw last tells more than that it gave up."""
        self._client.poll(0)
        causes = [each.str() for each in self._errors if each.code() != KafkaError._ALL_BROKERS_DOWN]  # noqa: SLF001
        return f"no Kafka broker at {self._servers}: {causes[-1] if causes else _text(error)}"


def _code(error: KafkaException | TimeoutError) -> int | None:
    return error.args[0].code() if isinstance(error, KafkaException) else None


def _text(error: KafkaException | TimeoutError) -> str:
    return str(error.args[0].str()) if isinstance(error, KafkaException) else "no answer in time"

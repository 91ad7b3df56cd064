"""Which log a topic's offsets are of: a topic that is deleted and made anew has another id."""

from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from pipeline.runtime.kafka.clients import is_transient, new_admin
from pipeline.runtime.kafka.settings import KafkaSettings

RETRY_WAIT_S: Final = 0.2


class TopicIdentityError(Exception):
    """Kafka does not say which topic it has."""


def topic_id(kafka: KafkaSettings, topic: str, timeout_s: float) -> str:
    """Return a topic's id as Kafka gave it, empty from a broker that gives none (before Kafka 2.8).

    It blocks: call it in a thread.

    Raises
    ------
    TopicIdentityError
        When Kafka does not answer within the time-out, or refuses.
    """
    client = new_admin(kafka)
    retrying = Retrying(
        retry=retry_if_exception(_may_pass),
        stop=stop_after_delay(timeout_s),
        wait=wait_fixed(RETRY_WAIT_S),
        reraise=True,
    )
    try:
        return retrying(_topic_id, client, topic, timeout_s)
    except (KafkaException, TimeoutError) as error:
        raise TopicIdentityError(f"topic {topic}: its id cannot be read: {error}") from error


def _topic_id(client: AdminClient, topic: str, timeout_s: float) -> str:
    described = client.describe_topics(TopicCollection([topic]), request_timeout=timeout_s)[topic].result(timeout_s)
    found = described.topic_id
    is_none = found.get_most_significant_bits() == 0 and found.get_least_significant_bits() == 0
    return "" if is_none else str(found)


def _may_pass(error: BaseException) -> bool:
    if not isinstance(error, KafkaException):
        return False
    cause: KafkaError = error.args[0]
    return is_transient(cause) or cause.code() == KafkaError.UNKNOWN_TOPIC_OR_PART  # a broker that has just started

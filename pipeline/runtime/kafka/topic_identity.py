"""Which log a topic's offsets are of: a topic that is deleted and made anew has another id."""

from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.state.checkpoints import TRANSIENT_ERRORS

RETRY_WAIT_S: Final = 0.2
_STARTING: Final = TRANSIENT_ERRORS | {KafkaError.UNKNOWN_TOPIC_OR_PART}
"""What a broker answers that has just started."""


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
    client = AdminClient({**kafka.librdkafka(), "log_level": 0})
    retrying = Retrying(
        retry=retry_if_exception(_is_transient),
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


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, KafkaException) and error.args[0].code() in _STARTING

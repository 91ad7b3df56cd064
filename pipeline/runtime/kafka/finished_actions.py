"""Which actions are finished by what ``actions`` says: written after the state was saved, before the worker ended."""

import logging
from typing import Final

from pydantic import ValidationError

from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.kafka.topic_reader import TopicReader, TopicReadError
from schemas.action import Action, Outcome
from topics import ACTIONS

__all__ = ["finished_keys"]

logger = logging.getLogger(__name__)

_FOR_GOOD: Final = frozenset((Outcome.SENT, Outcome.RAN, Outcome.DRY_RUN, Outcome.DENIED, Outcome.RATE_LIMITED))


def finished_keys(kafka: KafkaSettings, since_ms: int, timeout_s: float) -> set[str]:
    """Return the keys of what was finished since then; none where Kafka does not tell: it is done once more then.

    It blocks: call it in a thread.
    """
    try:
        with TopicReader(kafka, timeout_s) as reader:
            values = [message.value() or b"" for message in reader.read(ACTIONS, reader.starts_at(ACTIONS, since_ms))]
    except TopicReadError as error:
        logger.warning("what was finished last is done once more: %s", error)
        return set()
    return {key for value in values if (key := _finished(value)) is not None}


def _finished(value: bytes) -> str | None:
    """Return the key of a record that says the last of its action."""
    try:
        action = Action.model_validate_json(value)
    except ValidationError:
        return None
    is_given_up = action.outcome is Outcome.FAILED and action.attempt > 0 and not action.retry
    return action.key if action.outcome in _FOR_GOOD or is_given_up else None

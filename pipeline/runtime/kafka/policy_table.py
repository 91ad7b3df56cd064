"""The policies in force: the topic ``policies`` read whole at the start, then followed by a thread."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import Message

from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.kafka.tailer import Tailer
from pipeline.runtime.kafka.topic_reader import TopicReadError
from pipeline.runtime.observability.metrics import Metrics
from schemas.reasons import PolicyRefusal
from topics import POLICIES

logger = logging.getLogger(__name__)

LARGEST_POLICY_BYTES: Final = 256 * 1024

Parse = Callable[[bytes], Any]
"""Makes a policy of a record's value; ValueError says what is wrong with it."""


class PolicyTableError(Exception):
    """The policies cannot be read: none may be assumed."""


class PolicyTable:
    """Holds the policies of some kinds as they are now; records of other kinds are passed over.

    A record that cannot be used is counted by reason and logged, and the policy before it stays.

    Parameters
    ----------
    kafka, metrics
        Of the process.
    stage
        Whose table it is, in metrics.
    parsers
        By kind, what makes a policy of a record's value.
    """

    def __init__(self, kafka: KafkaSettings, metrics: Metrics, stage: str, parsers: Mapping[str, Parse]) -> None:
        self._metrics = metrics
        self._stage = stage
        self._parsers = parsers
        self._lock = threading.Lock()
        self._policies: dict[str, dict[str, Any]] = {kind: {} for kind in parsers}
        self._version = 0
        # whatever Kafka says meanwhile, the policies in force stay
        self._tailer = Tailer(kafka, f"{stage}-policies", self._change, survives=lambda _: True)

    def start(self, timeout_s: float) -> None:
        """Read the topic to its end, then go on in a thread. It blocks: call it in a thread.

        Raises
        ------
        PolicyTableError
            When the topic is missing, or Kafka does not answer within the time-out.
        """
        deadline_s = time.monotonic() + timeout_s
        try:
            self._tailer.start([POLICIES], {}, timeout_s)
        except TopicReadError as error:
            raise PolicyTableError(f"the policies cannot be read: {error}") from error
        if not self._tailer.wait_until_read(deadline_s - time.monotonic()):
            self.close()
            raise PolicyTableError(f"the policies cannot be read: {POLICIES} is not read to its end in {timeout_s:g} s")

    @property
    def version(self) -> int:
        """A number that is another one whenever policies have changed."""
        return self._version

    def policies(self, kind: str) -> Mapping[str, Any]:
        """Return the policies of a kind by id; what is returned does not change any more."""
        with self._lock:
            return self._policies[kind]

    def close(self) -> None:
        """End the thread."""
        self._tailer.close()

    def _change(self, messages: list[Message]) -> None:
        """Put all changes of a fetch in force at once."""
        policies = {kind: dict(of_kind) for kind, of_kind in self._policies.items()}
        for message in messages:
            self._apply(message, policies)
        if policies == self._policies:
            return
        with self._lock:
            self._policies = policies
            self._version += 1
        for kind, of_kind in policies.items():
            self._metrics.policies.labels(self._stage, kind).set(len(of_kind))

    def _apply(self, message: Message, policies: dict[str, dict[str, Any]]) -> None:
        kind, _, name = (message.key() or b"").decode("utf-8", "replace").partition("/")
        value = message.value()
        if not name:
            self._refuse(message, PolicyRefusal.KEY, f"its key must be KIND/ID, got {(message.key() or b'')[:100]!r}")
        elif kind not in policies:
            return
        elif value is None:
            policies[kind].pop(name, None)
        elif len(value) > LARGEST_POLICY_BYTES:
            self._refuse(message, PolicyRefusal.TOO_LARGE, f"it has {len(value)} bytes, at most {LARGEST_POLICY_BYTES}")
        else:
            try:
                policies[kind][name] = self._parsers[kind](value)
            except ValueError as error:
                self._refuse(message, PolicyRefusal.VALUE, str(error))

    def _refuse(self, message: Message, reason: PolicyRefusal, why: str) -> None:
        self._metrics.refused_policies.labels(self._stage, reason.value).inc()
        logger.error("policies/%s: what was in force stays: %s", message.offset(), why)

"""From a source to Kafka: at the pace asked for, waiting where the broker is slow, losing nothing silently."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from pipeline.sources.base import RawRecord

_LOG = logging.getLogger(__name__)
_FULL_QUEUE_WAIT_S = 0.05
_SLICE_S = 0.02  # at a fixed rate, so much time's messages are sent at once
_LONGEST_SLICE = 2000
_FLUSH_STEP_S = 0.1


@dataclass(frozen=True, slots=True)
class Pace:
    """When messages are due.

    Parameters
    ----------
    messages_per_s
        A fixed rate; 0: at once. None: as their own times say, which is how a fleet sends them.
    """

    messages_per_s: float | None = None

    def due_s(self, sent: int, elapsed_ms: int) -> float:
        """Return the seconds after the start at which the next message is due.

        Parameters
        ----------
        sent
            Messages sent before it.
        elapsed_ms
            Its time less that of the first message.
        """
        if self.messages_per_s is None:
            return elapsed_ms / 1000.0
        return sent / self.messages_per_s if self.messages_per_s > 0 else 0.0

    @property
    def slice_length(self) -> int:
        """How many messages are sent between two looks at the clock."""
        if not self.messages_per_s:
            return _LONGEST_SLICE
        return min(max(int(self.messages_per_s * _SLICE_S), 1), _LONGEST_SLICE)


@dataclass(slots=True)
class Delivery:
    """How far the sending has come. In the end ``sent`` = delivered + ``failed`` + ``undelivered``."""

    sent: int = 0
    """Messages handed to the producer."""
    failed: int = 0
    """Messages of which the producer reported that they cannot be delivered."""
    undelivered: int = 0
    """Messages still waiting when the time to deliver them ran out."""
    first_failure: str | None = None
    """The reason of the first failure."""
    queue_full: int = 0
    """How often the source had to wait for the producer."""
    elapsed_s: float = 0.0

    @property
    def delivered(self) -> int:
        """Messages that the broker acknowledged, once everything was flushed."""
        return self.sent - self.failed - self.undelivered


class KafkaOutput:
    """Sends messages to one topic, in the partition that Telegraf would choose.

    Parameters
    ----------
    topic
        Where to.
    connection
        librdkafka's settings of the connection; holds secrets, and is kept to the producer.
    stop
        Ends the sending as soon as it is set; what was sent is still delivered.
    delivery_timeout_s
        How long the broker may take until a message counts as failed.
    queue_messages
        How many messages may wait for the broker before the source has to.
    """

    def __init__(
        self,
        topic: str,
        connection: Mapping[str, str],
        *,
        stop: Event,
        delivery_timeout_s: float = 30.0,
        queue_messages: int = 200_000,
    ) -> None:
        self._topic = topic
        self._stop = stop
        self._delivery_timeout_s = delivery_timeout_s
        self.delivery = Delivery()
        self._producer = Producer(
            {
                **connection,
                "partitioner": "fnv1a",  # Sarama's, so that a resource lies where its Telegraf agent puts it
                "compression.type": "lz4",
                "enable.idempotence": True,
                "linger.ms": 20,
                "queue.buffering.max.messages": queue_messages,
                "queue.buffering.max.kbytes": 262_144,
                "message.timeout.ms": round(delivery_timeout_s * 1000),
                "delivery.report.only.error": True,
                "on_delivery": self._on_failure,
                "error_cb": _log_error,
            },
            logger=_LOG,
        )

    def send(
        self,
        batches: Iterable[Sequence[RawRecord]],
        pace: Pace,
        *,
        on_progress: Callable[[Delivery], None] | None = None,
    ) -> Delivery:
        """Send batch after batch, each message when it is due, until the end or `stop`; then deliver what is left.

        Returns
        -------
        Delivery
            The counts. Failures are in it; they raise nothing.
        """
        start_s = time.monotonic()
        first_ms: int | None = None
        length = pace.slice_length
        for batch in batches:
            for at in range(0, len(batch), length):
                part = batch[at : at + length]
                first_ms = part[0].time_ms if first_ms is None else first_ms
                due_s = start_s + pace.due_s(self.delivery.sent, part[0].time_ms - first_ms)
                self._wait_until(due_s)
                if not self._stop.is_set():
                    self._produce(part)
                self.delivery.elapsed_s = time.monotonic() - start_s
                if on_progress is not None:
                    on_progress(self.delivery)
            if self._stop.is_set():
                break
        self._flush()
        self.delivery.elapsed_s = time.monotonic() - start_s
        return self.delivery

    def _wait_until(self, due_s: float) -> None:
        """Wait for the moment, or for `stop`; the producer's reports are served meanwhile."""
        self._producer.poll(0)
        while not self._stop.is_set() and (left_s := due_s - time.monotonic()) > 0:
            self._stop.wait(min(left_s, 0.5))
            self._producer.poll(0)

    def _produce(self, part: Sequence[RawRecord]) -> None:
        produce, topic = self._producer.produce, self._topic
        for key, value, time_ms in part:
            while True:
                try:
                    produce(topic, value, key, timestamp=time_ms)
                except BufferError:
                    self.delivery.queue_full += 1
                    self._producer.poll(_FULL_QUEUE_WAIT_S)
                    if self._stop.is_set():
                        return
                except KafkaException as error:
                    self._failed(str(error.args[0]))
                    self.delivery.sent += 1
                    break
                else:
                    self.delivery.sent += 1
                    break

    def _flush(self) -> None:
        deadline_s = time.monotonic() + self._delivery_timeout_s + 1.0
        while len(self._producer) and time.monotonic() < deadline_s:
            self._producer.flush(_FLUSH_STEP_S)
        self.delivery.undelivered = len(self._producer)

    def _on_failure(self, error: KafkaError | None, _message: Any) -> None:
        if error is not None:
            self._failed(error.str())

    def _failed(self, reason: str) -> None:
        self.delivery.failed += 1
        if self.delivery.first_failure is None:
            self.delivery.first_failure = reason
            _LOG.warning("a message to %s was not delivered: %s", self._topic, reason)


def _log_error(error: KafkaError) -> None:
    _LOG.warning("Kafka: %s", error.str())

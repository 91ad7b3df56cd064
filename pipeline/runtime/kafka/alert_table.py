"""The topic ``alerts``, all partitions of it, followed by a thread from where the state of the stage act stands."""

import logging
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.kafka.topic_reader import TopicReader, TopicReadError
from pipeline.runtime.state.checkpoints import TRANSIENT_ERRORS
from topics import ALERTS

__all__ = ["AlertRecord", "AlertTable", "AlertTableError"]

logger = logging.getLogger(__name__)

READ_RECORDS: Final = 500
READ_WAIT_S: Final = 0.1
MOST_WAITING: Final = 10_000
"""Records that wait to be taken; then nothing more is read."""


class AlertTableError(Exception):
    """The alerts cannot be read."""


class AlertRecord(NamedTuple):
    """One record of the topic."""

    partition: int
    offset: int
    time_ms: int
    """When it was written."""
    value: bytes


class AlertTable:
    """Gives the records of ``alerts`` in the order of each partition.

    Parameters
    ----------
    kafka
        How to reach Kafka.
    stage
        Whose log it is, in the names of threads and clients.
    """

    def __init__(self, kafka: KafkaSettings, stage: str) -> None:
        self._kafka = kafka
        self._stage = stage
        self._records: deque[AlertRecord] = deque()
        self._not_at_end: set[int] = set()
        self._bounds: dict[int, tuple[int, int]] = {}
        self._has_room = threading.Condition()
        self._is_closed = False
        self._failure: Exception | None = None
        self._thread: threading.Thread | None = None

    def start(self, next_offsets: Mapping[int, int], timeout_s: float) -> None:
        """Begin to follow the topic. It blocks: call it in a thread.

        Parameters
        ----------
        next_offsets
            Where to begin in each partition; one that is not there begins with its earliest record.
        timeout_s
            How long Kafka may say nothing.

        Raises
        ------
        AlertTableError
            When the topic is missing, or Kafka does not answer.
        """
        try:
            with TopicReader(self._kafka, timeout_s) as reader:
                partitions = reader.partitions(ALERTS)
        except TopicReadError as error:
            raise AlertTableError(f"the alerts cannot be read: {error}") from error
        self._not_at_end = set(partitions)
        places = [TopicPartition(ALERTS, number, next_offsets.get(number, OFFSET_BEGINNING)) for number in partitions]
        self._thread = threading.Thread(target=self._follow, args=(places,), name=f"{self._stage}-alerts", daemon=True)
        self._thread.start()

    @property
    def is_caught_up(self) -> bool:
        """Whether every partition was read to its end once, and all that was read is taken."""
        return not self._not_at_end and not self._records

    def waiting(self, next_offsets: Mapping[int, int]) -> dict[int, int]:
        """Return how many records (about: offsets) of each partition there are from these on, where that is known."""
        bounds = self._bounds
        return {
            partition: max(0, end - max(next_offsets.get(partition, earliest), earliest))
            for partition, (earliest, end) in bounds.items()
        }

    def take(self, most: int) -> list[AlertRecord]:
        """Return what was read and not taken, the oldest first, so many at most.

        Raises
        ------
        AlertTableError
            When Kafka refuses for good, or the thread has failed.
        """
        if self._failure is not None:
            raise AlertTableError(f"the alerts are not followed any more: {self._failure}") from self._failure
        with self._has_room:
            records = [self._records.popleft() for _ in range(min(most, len(self._records)))]
            self._has_room.notify()
        return records

    def close(self) -> None:
        """End the thread."""
        with self._has_room:
            self._is_closed = True
            self._has_room.notify()
        if self._thread is not None:
            self._thread.join()

    def _follow(self, places: list[TopicPartition]) -> None:
        quiet: dict[str, Any] = {"log_level": 0, "error_cb": self._on_error}
        consumer = Consumer(
            {
                **self._kafka.librdkafka(),
                **quiet,
                "group.id": f"{self._kafka.group_prefix}-{self._stage}-alerts",  # asked for, and never joined
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.message.max.bytes": 16 * 1024 * 1024,
            }
        )
        try:
            consumer.assign(places)
            while self._wait_for_room():
                self._put(consumer.consume(READ_RECORDS, READ_WAIT_S))
                self._note_bounds(consumer, places)
        except Exception as error:  # noqa: BLE001  the supervisor of this thread: it is raised by `take`
            self._failure = error
        finally:
            consumer.close()

    def _wait_for_room(self) -> bool:
        """Return whether to go on, once there is room."""
        with self._has_room:
            self._has_room.wait_for(lambda: self._is_closed or len(self._records) < MOST_WAITING)
            return not self._is_closed

    def _put(self, messages: list[Message]) -> None:
        for message in messages:
            partition, error = message.partition(), message.error()
            if error is None:
                with self._has_room:
                    self._records.append(_record(message))
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                self._not_at_end.discard(-1 if partition is None else partition)
            elif not error.retriable() and error.code() not in TRANSIENT_ERRORS:
                raise KafkaException(error)

    def _note_bounds(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Note the first offset and the end of each partition, as the last fetch told them."""
        known = {place.partition: consumer.get_watermark_offsets(place, cached=True) for place in places}
        self._bounds = {
            partition: (max(0, bounds[0]), bounds[1])
            for partition, bounds in known.items()
            if bounds is not None and bounds[1] >= 0
        }

    def _on_error(self, error: KafkaError) -> None:
        logger.warning("alerts: %s", error.str())


def _record(message: Message) -> AlertRecord:
    time_ms = message.timestamp()[1]
    return AlertRecord(message.partition() or 0, message.offset() or 0, time_ms, message.value() or b"")

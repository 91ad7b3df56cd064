"""Topics followed by a thread, all partitions of them, from given offsets on, without a consumer group."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline.runtime.kafka.clients import is_end, is_transient, new_consumer
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.kafka.topic_reader import TopicReader

__all__ = ["Place", "RecordQueue", "TailedRecord", "Tailer"]

logger = logging.getLogger(__name__)

READ_RECORDS: Final = 500
READ_WAIT_S: Final = 0.1
FETCH_WAIT_MS: Final = 100

Place = tuple[str, int]
"""A topic and a partition of it."""


class Tailer:
    """Hands over what comes on some topics, each partition in its order.

    Parameters
    ----------
    kafka
        How to reach Kafka.
    name
        Whose it is: in the names of the thread and the client.
    take
        Called in the thread with the records of each fetch; what it raises ends the following.
    survives
        Which errors of Kafka's do not end it.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        name: str,
        take: Callable[[list[Message]], None],
        *,
        survives: Callable[[KafkaError], bool] = is_transient,
    ) -> None:
        self.bounds: Mapping[Place, tuple[int, int]] = {}
        """The earliest offset and the end of each partition, as the last fetch said."""
        self._failure: Exception | None = None
        self._kafka = kafka
        self._name = name
        self._take = take
        self._survives = survives
        self._unread: set[Place] = set()
        self._is_read = threading.Event()
        self._is_closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, topics: Sequence[str], next_offsets: Mapping[Place, int], timeout_s: float) -> None:
        """Begin. It blocks until the partitions are known: call it in a thread.

        Parameters
        ----------
        topics
            What is followed.
        next_offsets
            Where to begin in each partition; one that is not there begins with its earliest record.
        timeout_s
            How long Kafka may say nothing, in seconds.

        Raises
        ------
        TopicReadError
            When a topic is missing, or Kafka does not answer.
        """
        with TopicReader(self._kafka, timeout_s) as reader:
            found = [(topic, partition) for topic in topics for partition in reader.partitions(topic)]
        self._unread = set(found)
        places = [TopicPartition(*place, next_offsets.get(place, OFFSET_BEGINNING)) for place in found]
        self._thread = threading.Thread(target=self._follow, args=(places,), name=self._name, daemon=True)
        self._thread.start()

    @property
    def is_at_end(self) -> bool:
        """Whether every partition was read to its end once, and what was read is handed over."""
        return self._is_read.is_set()

    def wait_until_read(self, timeout_s: float) -> bool:
        """Return `is_at_end`, as soon as it is so, or after so many seconds."""
        return self._is_read.wait(max(0.0, timeout_s))

    def check(self) -> None:
        """Do nothing while the topics are followed.

        Raises
        ------
        Exception
            What has ended it: a `KafkaException` when Kafka refused for good, or what `take` raised.
        """
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """End the thread."""
        self._is_closed.set()
        if self._thread is not None:
            self._thread.join()

    def _follow(self, places: list[TopicPartition]) -> None:
        consumer = new_consumer(self._kafka, self._name, {"fetch.wait.max.ms": FETCH_WAIT_MS}, on_error=self._on_error)
        try:
            consumer.assign(places)
            while not self._is_closed.is_set():
                self._hand_over(consumer.consume(READ_RECORDS, READ_WAIT_S))
                self._note_bounds(consumer, places)
        except Exception as error:
            self._failure = error
            logger.critical("%s: topics are not followed any more", self._name, exc_info=True)
        finally:
            consumer.close()

    def _hand_over(self, messages: list[Message]) -> None:
        records = []
        ended = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(message)
            elif is_end(error):
                ended.append((message.topic() or "", -1 if (partition := message.partition()) is None else partition))
            elif not self._survives(error):
                raise KafkaException(error)
        if records:
            self._take(records)
        self._unread.difference_update(ended)
        if not self._unread:
            self._is_read.set()

    def _note_bounds(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        known = {(place.topic, place.partition): consumer.get_watermark_offsets(place, cached=True) for place in places}
        self.bounds = {
            place: (max(0, bounds[0]), bounds[1])
            for place, bounds in known.items()
            if bounds is not None and bounds[1] >= 0
        }

    def _on_error(self, error: KafkaError) -> None:
        logger.warning("%s: %s", self._name, error.str())


class TailedRecord(NamedTuple):
    """One record of a followed topic."""

    topic: str
    partition: int
    offset: int
    time_ms: int
    """When it was written."""
    value: bytes
    """Empty for a deletion."""


class RecordQueue:
    """Records between a tailer's thread and who takes them; when it is full the thread waits.

    Parameters
    ----------
    most
        How many records may wait before no more are added.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._records: deque[TailedRecord] = deque()
        self._changed = threading.Condition()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._records)

    def put(self, messages: list[Message]) -> None:
        """Add records, once there is room."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or len(self._records) < self._most)
            self._records.extend(map(_record, messages))
            self._changed.notify_all()

    def take(self, most: int, wait_s: float = 0.0) -> list[TailedRecord]:
        """Return what waits, the oldest first, so many at most; wait so many seconds for the first of them."""
        with self._changed:
            if wait_s:
                self._changed.wait_for(lambda: bool(self._records), wait_s)
            records = [self._records.popleft() for _ in range(min(most, len(self._records)))]
            self._changed.notify_all()
        return records

    def close(self) -> None:
        """Let the thread go on, whatever waits."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


def _record(message: Message) -> TailedRecord:
    time_ms = message.timestamp()[1]
    value = message.value() or b""
    return TailedRecord(message.topic() or "", message.partition() or 0, message.offset() or 0, time_ms, value)

"""Reads a topic's records to its end, for commands: no consumer group, nothing committed, little in memory."""

import time
from collections import deque
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import Final, Self

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, TopicPartition

from pipeline.runtime.kafka.clients import is_end, is_transient, new_consumer
from pipeline.runtime.kafka.settings import KafkaSettings

READ_RECORDS: Final = 500
READ_WAIT_S: Final = 0.1
QUEUED_KIB: Final = 32 * 1024
"""What the client fetches ahead at most."""


class TopicReadError(Exception):
    """A topic cannot be read; the text says which and why."""


class TopicReader:
    """Reads topics from one cluster.

    Parameters
    ----------
    kafka
        How to reach Kafka.
    timeout_s
        How long Kafka may say nothing, in seconds.

    Raises
    ------
    SettingsError
        When the password's file cannot be read.
    """

    def __init__(self, kafka: KafkaSettings, timeout_s: float = 30.0) -> None:
        self._servers = kafka.bootstrap_servers
        self._timeout_s = timeout_s
        self._errors: deque[KafkaError] = deque(maxlen=10)
        options = {
            "queued.max.messages.kbytes": QUEUED_KIB,
            "fetch.wait.max.ms": 50,
            "fetch.queue.backoff.ms": 10,
        }
        self._consumer = new_consumer(kafka, "topic-reader", options, on_error=self._errors.append)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def partitions(self, topic: str) -> list[int]:
        """Return the topic's partitions.

        Raises
        ------
        TopicReadError
            When there is no such topic, or Kafka does not answer.
        """
        try:
            found = self._consumer.list_topics(topic, timeout=self._timeout_s).topics[topic]
        except KafkaException as error:
            raise TopicReadError(f"no Kafka broker at {self._servers}: {self._cause(error.args[0])}") from error
        if found.error is not None:
            hint = "" if found.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART else "; run `cinnamon topics apply`"
            raise TopicReadError(f"topic {topic}: {found.error.str()}{hint}")
        return sorted(found.partitions)

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return the earliest offset and one that is not above the next; an embedded broker's is too low.

        Raises
        ------
        TopicReadError
            When Kafka does not answer.
        """
        try:
            earliest, latest = self._consumer.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=self._timeout_s
            )
        except KafkaException as error:
            raise TopicReadError(f"{topic}/{partition}: {error.args[0].str()}") from error
        return earliest, latest

    def starts_at(self, topic: str, time_ms: int) -> dict[int, int]:
        """Return for each partition where to read from, so that no record of ``time_ms`` or later is left out.

        It is the beginning where Kafka cannot tell: an embedded broker does not look for times.

        Raises
        ------
        TopicReadError
            When there is no such topic, or Kafka does not answer.
        """
        partitions = self.partitions(topic)
        if time_ms <= 0:
            return dict.fromkeys(partitions, OFFSET_BEGINNING)
        asked = [TopicPartition(topic, partition, time_ms) for partition in partitions]
        try:
            found = self._consumer.offsets_for_times(asked, timeout=self._timeout_s)
        except KafkaException as error:
            if is_transient(error.args[0]):
                raise TopicReadError(f"topic {topic}: {error.args[0].str()}") from error
            return dict.fromkeys(partitions, OFFSET_BEGINNING)
        return {place.partition: OFFSET_BEGINNING if place.error is not None else place.offset for place in found}

    def read_all(self, topic: str) -> Generator[Message, None, None]:
        """Yield all records of a topic; errors as in `read`."""
        return self.read(topic, dict.fromkeys(self.partitions(topic), OFFSET_BEGINNING))

    def read(self, topic: str, starts: Mapping[int, int]) -> Generator[Message, None, None]:
        """Yield the records of some partitions, each in its order, until a fetch says that there are no more.

        Parameters
        ----------
        topic
            Which topic.
        starts
            First offset by partition; where it is deleted, the earliest there is. What lies behind the end that Kafka
            reports is read from that end: an embedded broker never answers for an offset behind its own.

        Raises
        ------
        TopicReadError
            When Kafka refuses, or says nothing for the time-out.
        """
        left = set(starts)
        places = {
            partition: min(start, self.bounds(topic, partition)[1]) if start > 0 else start
            for partition, start in starts.items()
        }
        self._consumer.assign([TopicPartition(topic, partition, start) for partition, start in places.items()])
        heard_s = time.monotonic()
        try:
            while left:
                messages = self._consumer.consume(READ_RECORDS, READ_WAIT_S)
                for message in messages:
                    partition, error = message.partition(), message.error()
                    if is_end(error):
                        left.discard(-1 if partition is None else partition)
                    elif error is None:
                        yield message
                    elif not is_transient(error):
                        raise TopicReadError(f"topic {topic}: {error.str()}")
                if any(message.error() is None or message.partition() not in left for message in messages):
                    heard_s = time.monotonic()
                elif time.monotonic() - heard_s > self._timeout_s:
                    raise TopicReadError(f"topic {topic}: partitions {sorted(left)} are not read to their ends in time")
        finally:
            self._consumer.unassign()

    def record(self, topic: str, partition: int, offset: int) -> Message | None:
        """Return one record, None if Kafka does not have it any more; errors as in `read`."""
        with closing(self.read(topic, {partition: offset})) as found:
            for message in found:
                at = message.offset()
                if at is None or at >= offset:
                    return message if at == offset else None
        return None

    def _cause(self, error: KafkaError) -> str:
        """Return what the client saw last: it tells more than that it gave up."""
        causes = [each.str() for each in self._errors if each.code() != KafkaError._ALL_BROKERS_DOWN]  # noqa: SLF001
        return causes[-1] if causes else error.str()


def headers_of(message: Message) -> list[tuple[str, bytes]]:
    """Return a record's headers, but those without a value."""
    found = message.headers() or []
    pairs = found.items() if isinstance(found, dict) else found
    return [(name, value) for name, value in pairs if isinstance(value, bytes)]


def committed_offsets(
    kafka: KafkaSettings, group: str, topic: str, partitions: list[int], timeout_s: float
) -> dict[int, int]:
    """Return where a consumer group goes on in a topic; a partition without a commit is left out.

    Raises
    ------
    TopicReadError
        When Kafka does not answer.
    """
    consumer = new_consumer(kafka, group, {"group.id": group})
    try:
        places = consumer.committed([TopicPartition(topic, partition) for partition in partitions], timeout=timeout_s)
    except KafkaException as error:
        raise TopicReadError(f"group {group}: {error.args[0].str()}") from error
    finally:
        consumer.close()
    return {place.partition: place.offset for place in places if place.offset >= 0}

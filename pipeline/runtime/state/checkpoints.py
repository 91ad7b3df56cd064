"""Checkpoints in a compacted topic: the newest value of a key counts, and is found from the topic's tail."""

import logging
import time
from collections.abc import Collection, Iterator
from typing import Final

from confluent_kafka import (
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from pipeline.runtime.kafka.clients import is_end, is_transient, new_consumer
from pipeline.runtime.kafka.producer import RecordProducer
from pipeline.runtime.kafka.settings import KafkaSettings
from topics import CHECKPOINTS

logger = logging.getLogger(__name__)

FIRST_STEP_RECORDS: Final = 1000
READ_RECORDS: Final = 500
READ_WAIT_S: Final = 0.1
RETRY_WAIT_S: Final = 0.1


class CheckpointReadError(Exception):
    """The checkpoints cannot be read: no state may be assumed."""


class CheckpointReader:
    """Finds checkpoints.

    Parameters
    ----------
    kafka
        How to reach Kafka.
    topic
        The compacted topic.
    """

    def __init__(self, kafka: KafkaSettings, topic: str = CHECKPOINTS) -> None:
        self._kafka = kafka
        self._topic = topic

    def read_latest(self, keys: Collection[str], timeout_s: float) -> dict[str, bytes]:
        """Return the newest value of each key; a key without one is left out.

        It blocks: call it in a thread.

        Raises
        ------
        CheckpointReadError
            When the topic is missing, or Kafka does not answer within the time-out.
        """
        deadline_s = time.monotonic() + timeout_s
        options = {"fetch.wait.max.ms": 50, "fetch.queue.backoff.ms": 10}
        consumer = new_consumer(self._kafka, "checkpoint-reader", options, logger=logger)
        try:
            return self._read_latest(consumer, frozenset(key.encode() for key in keys), deadline_s)
        except KafkaException as error:
            raise CheckpointReadError(f"topic {self._topic}: {error.args[0]}") from error
        finally:
            consumer.close()

    def _read_latest(self, consumer: Consumer, keys: frozenset[bytes], deadline_s: float) -> dict[str, bytes]:
        tails = [_Tail(self._topic, partition) for partition in self._partitions(consumer, deadline_s)]
        for tail in tails:
            tail.begin(consumer, _left_s(deadline_s))
        newest: dict[bytes, bytes | None] = {}
        while tails and keys - newest.keys():
            found: dict[bytes, bytes | None] = {}
            for message in self._read(consumer, tails, deadline_s):
                key = message.key()
                if key in keys:
                    found[key] = message.value()
            newest = found | newest  # what an earlier round found lies later in the topic
            tails = [tail for tail in tails if tail.step_back()]
        return {key.decode(): value for key, value in newest.items() if value is not None}

    def _partitions(self, consumer: Consumer, deadline_s: float) -> list[int]:
        metadata = consumer.list_topics(self._topic, timeout=_left_s(deadline_s)).topics[self._topic]
        if metadata.error is not None:
            hint = "" if metadata.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART else "; run `cinnamon topics apply`"
            raise CheckpointReadError(f"topic {self._topic}: {metadata.error.str()}{hint}")
        return sorted(metadata.partitions)

    def _read(self, consumer: Consumer, tails: list["_Tail"], deadline_s: float) -> Iterator[Message]:
        """Yield the records of each tail's range, in the order of its offsets."""
        reading = {tail.partition: tail for tail in tails}
        consumer.assign([TopicPartition(self._topic, tail.partition, tail.start) for tail in tails])
        while reading:
            if _left_s(deadline_s) <= 0:
                raise CheckpointReadError(
                    f"topic {self._topic}: not read to its end in time, {sorted(reading)} are left"
                )
            for message in consumer.consume(READ_RECORDS, READ_WAIT_S):
                partition = message.partition()
                error = message.error()
                if error is not None and not is_end(error):
                    if is_transient(error):
                        logger.warning("checkpoints: %s; tried again", error.str())
                        continue
                    raise KafkaException(error)
                if partition is None or partition not in reading:
                    continue
                if error is not None or reading[partition].is_behind(message):
                    del reading[partition]
                    consumer.incremental_unassign([TopicPartition(self._topic, partition)])
                else:
                    yield message


class CheckpointStore(CheckpointReader):
    """Writes and finds checkpoints.

    Parameters
    ----------
    kafka
        How to reach Kafka.
    producer
        What writes; a checkpoint is kept when its `flush` returned.
    topic
        The compacted topic.
    """

    def __init__(self, kafka: KafkaSettings, producer: RecordProducer, topic: str = CHECKPOINTS) -> None:
        super().__init__(kafka, topic)
        self._producer = producer

    def write(self, key: str, value: bytes | None) -> None:
        """Queue a checkpoint, None to delete it."""
        self._producer.produce(self._topic, key=key.encode(), value=value)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, KafkaException) and is_transient(error.args[0])


class _Tail:
    """The part of a partition that is read next: from `start` to what was read before, or to the end.

    The end is where a fetch says so: an embedded broker's list of latest offsets is too low.
    """

    def __init__(self, topic: str, partition: int) -> None:
        self.partition = partition
        self.start = 0
        self._topic = topic
        self._end: int | None = None
        self._earliest = 0
        self._step = FIRST_STEP_RECORDS

    def begin(self, consumer: Consumer, timeout_s: float) -> None:
        """Set the first range."""
        where = TopicPartition(self._topic, self.partition, OFFSET_END)
        retrying = Retrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_delay(timeout_s),
            wait=wait_fixed(RETRY_WAIT_S),
            reraise=True,
        )
        self._earliest, latest = retrying(consumer.get_watermark_offsets, where, timeout=timeout_s)
        self.start = max(self._earliest, latest - self._step)

    def step_back(self) -> bool:
        """Go on to the range before; return False when there is none."""
        if self.start <= self._earliest:
            return False
        self._step *= 2
        self._end = self.start
        self.start = max(self._earliest, self.start - self._step)
        return True

    def is_behind(self, message: Message) -> bool:
        """Return whether a record lies after the range."""
        offset = message.offset()
        return self._end is not None and offset is not None and offset >= self._end


def _left_s(deadline_s: float) -> float:
    return max(0.0, deadline_s - time.monotonic())

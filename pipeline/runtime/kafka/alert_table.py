"""The topic ``alerts``, all partitions of it, followed by a thread from where the state of the stage act stands."""

from collections.abc import Mapping
from typing import Final

from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.kafka.tailer import RecordQueue, TailedRecord, Tailer
from pipeline.runtime.kafka.topic_reader import TopicReadError
from topics import ALERTS

__all__ = ["AlertTable", "AlertTableError"]

MOST_WAITING: Final = 10_000
"""Records that wait to be taken; then nothing more is read."""


class AlertTableError(Exception):
    """The alerts cannot be read."""


class AlertTable:
    """Returns the records of ``alerts`` in the order of each partition.

    Parameters
    ----------
    kafka
        How to reach Kafka.
    stage
        Whose table it is, in the names of threads and clients.
    """

    def __init__(self, kafka: KafkaSettings, stage: str) -> None:
        self._queue = RecordQueue(MOST_WAITING)
        self._tailer = Tailer(kafka, f"{stage}-alerts", self._queue.put)

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
        places = {(ALERTS, partition): offset for partition, offset in next_offsets.items()}
        try:
            self._tailer.start([ALERTS], places, timeout_s)
        except TopicReadError as error:
            raise AlertTableError(f"the alerts cannot be read: {error}") from error

    @property
    def is_caught_up(self) -> bool:
        """Whether every partition was read to its end once, and all that was read is taken."""
        return self._tailer.is_at_end and not len(self._queue)

    def waiting(self, next_offsets: Mapping[int, int]) -> dict[int, int]:
        """Return how many records (about: offsets) of each partition there are from these on, where that is known."""
        return {
            partition: max(0, end - max(next_offsets.get(partition, earliest), earliest))
            for (_, partition), (earliest, end) in self._tailer.bounds.items()
        }

    def take(self, most: int) -> list[TailedRecord]:
        """Return what was read and not taken, the oldest first, so many at most.

        Raises
        ------
        AlertTableError
            When Kafka refuses for good, or the thread has failed.
        """
        try:
            self._tailer.check()
        except Exception as error:
            raise AlertTableError(f"the alerts are not followed any more: {error}") from error
        return self._queue.take(most)

    def close(self) -> None:
        """End the thread."""
        self._queue.close()
        self._tailer.close()

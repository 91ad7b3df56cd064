"""The way of snapshots to Kafka: a producer of their own, so that nothing else waits behind hundreds of megabytes."""

import logging
import threading
import time
from collections import Counter
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message

from pipeline.runtime.kafka.clients import new_producer
from pipeline.runtime.kafka.settings import KafkaSettings

logger = logging.getLogger(__name__)

QUEUE_KIB: Final = 16 * 1024
QUEUE_RECORDS: Final = 100_000
POLL_S: Final = 0.1


class SnapshotWriteError(Exception):
    """A snapshot was not written; the one before it stays the newest."""


class SnapshotLog:
    """Writes records of one snapshot; for one thread.

    Parameters
    ----------
    kafka
        How to reach Kafka.
    timeout_s
        What is not acknowledged then is given up, in seconds: a process that slept longer writes no old manifest.
    is_cancelled
        When this is set, the next call raises.

    Raises
    ------
    SettingsError
        When the password's file cannot be read.
    """

    def __init__(self, kafka: KafkaSettings, timeout_s: float, is_cancelled: threading.Event) -> None:
        self._deadline_s = time.monotonic() + timeout_s
        self._is_cancelled = is_cancelled
        self._refused: Counter[str] = Counter()
        self._places: dict[str, tuple[int, int]] = {}
        options = {
            "linger.ms": 5,
            "message.timeout.ms": int(timeout_s * 1000),
            "queue.buffering.max.messages": QUEUE_RECORDS,
            "queue.buffering.max.kbytes": QUEUE_KIB,
        }
        self._producer = new_producer(
            kafka, options, on_delivery=self._on_delivery, on_error=self._on_error, logger=logger
        )

    def put(self, topic: str, key: str, value: bytes | memoryview | None) -> None:
        """Queue a record, None to delete what the key had; wait for room.

        Raises
        ------
        SnapshotWriteError
            When the time is over, or Kafka has refused something.
        """
        data = None if value is None else bytes(value)
        while True:
            self._check()
            try:
                self._producer.produce(topic, data, key.encode())
            except BufferError:
                self._producer.poll(POLL_S)
            except KafkaException as error:
                raise SnapshotWriteError(f"topic {topic}: {error.args[0].str()}") from error
            else:
                self._producer.poll(0)
                return

    def flush(self) -> dict[str, tuple[int, int]]:
        """Return partition and offset of all records by key, when they are acknowledged; errors as in `put`."""
        while self._producer.flush(POLL_S):
            self._check()
        self._check()
        return self._places

    def close(self) -> None:
        """Close the connection; what is not acknowledged is discarded."""
        self._producer.purge()
        self._producer.flush(1.0)

    def _check(self) -> None:
        if self._refused:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self._refused.items()))
            raise SnapshotWriteError(f"Kafka did not take {self._refused.total()} records: {reasons}")
        if self._is_cancelled.is_set():
            raise SnapshotWriteError("it was given up")
        if time.monotonic() > self._deadline_s:
            raise SnapshotWriteError(f"{len(self._producer)} records are not acknowledged in time")

    def _on_delivery(self, error: KafkaError | None, record: Message) -> None:
        key, partition, offset = record.key(), record.partition(), record.offset()
        if error is not None:
            self._refused[error.name()] += 1
        elif key is None or partition is None or offset is None or offset < 0:
            self._refused["OFFSET_UNKNOWN"] += 1
        else:
            self._places[key.decode()] = partition, offset

    def _on_error(self, error: KafkaError) -> None:
        logger.warning("Kafka producer of snapshots: %s", error.str())

"""The way out: records to Kafka through librdkafka, which batches, compresses and sends them in its own thread."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from confluent_kafka import KafkaError, Message

from pipeline.runtime.kafka.clients import LARGEST_RECORD_BYTES, new_producer
from pipeline.runtime.kafka.settings import KafkaSettings

logger = logging.getLogger(__name__)

QUEUE_RECORDS: Final = 1_000_000
QUEUE_KIB: Final = 512 * 1024
QUEUE_FULL_TIMEOUT_S: Final = 60.0
QUEUE_POLL_S: Final = 0.05


class FlushTimeoutError(Exception):
    """Records are still on their way: the broker is slow or away. They are sent when it is back; flush again.

    Parameters
    ----------
    waiting
        How many.
    timeout_s
        How long was waited.
    """

    def __init__(self, waiting: int, timeout_s: float) -> None:
        super().__init__(f"{waiting} records are not acknowledged by Kafka after {timeout_s:g} s")
        self.waiting = waiting


class DeliveryError(Exception):
    """Kafka refused records for good.

    Parameters
    ----------
    by_reason
        How many, by librdkafka's error name.
    """

    def __init__(self, by_reason: dict[str, int]) -> None:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(by_reason.items()))
        super().__init__(f"Kafka did not take {sum(by_reason.values())} records: {reasons}")
        self.by_reason = by_reason


class RecordProducer:
    """Sends records, keyed ones to the partition that Telegraf's own output would choose (FNV-1a).

    Records are acknowledged by all in-sync replicas and written once each (idempotence). While the broker is away they
    wait; what Kafka refuses for good is counted and raised by the next `flush`.

    Parameters
    ----------
    kafka
        How to reach Kafka.

    Raises
    ------
    SettingsError
        When the password's file cannot be read.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self._refused: Counter[str] = Counter()
        options = {
            "linger.ms": 5,
            "message.timeout.ms": 0,
            "message.max.bytes": LARGEST_RECORD_BYTES,
            "batch.num.messages": 100_000,
            "queue.buffering.max.messages": QUEUE_RECORDS,
            "queue.buffering.max.kbytes": QUEUE_KIB,
            "delivery.report.only.error": True,
        }
        self._producer = new_producer(
            kafka, options, on_delivery=self._on_refused, on_error=self._on_error, logger=logger
        )

    def __len__(self) -> int:
        """Return how many records are not yet acknowledged."""
        return len(self._producer)

    def produce(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes]] | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        """Queue one record, with the time of now if ``timestamp_ms`` is None or negative.

        Raises
        ------
        FlushTimeoutError
            When the queue is full and does not get room within a minute.
        KafkaException
            When the record is larger than `LARGEST_RECORD_BYTES`.
        """
        time_ms = 0 if timestamp_ms is None else max(timestamp_ms, 0)  # librdkafka takes 0 for now
        while True:
            try:
                if headers:
                    self._producer.produce(topic, value, key, timestamp=time_ms, headers=list(headers))
                else:
                    self._producer.produce(topic, value, key, timestamp=time_ms)
            except BufferError:
                self._wait_for_room()
            else:
                return

    def produce_many(self, topic: str, keys: Sequence[bytes | None], values: Sequence[bytes]) -> None:
        """Queue records, about 1 µs each; errors as in `produce`."""
        produce = self._producer.produce
        done = 0
        while done < len(values):
            try:
                for key, value in zip(keys[done:], values[done:], strict=True):
                    produce(topic, value, key)
                    done += 1
            except BufferError:
                self._wait_for_room()
        self._producer.poll(0)

    def _wait_for_room(self) -> None:
        deadline_s = time.monotonic() + QUEUE_FULL_TIMEOUT_S
        waiting = len(self._producer)
        while len(self._producer) >= waiting:
            self._producer.poll(QUEUE_POLL_S)
            if time.monotonic() > deadline_s:
                raise FlushTimeoutError(waiting, QUEUE_FULL_TIMEOUT_S)

    def flush(self, timeout_s: float) -> None:
        """Return when all records so far are acknowledged.

        Raises
        ------
        DeliveryError
            When records were refused since the last flush: nothing that depends on them may be committed.
        FlushTimeoutError
            When records are still on their way after the time-out.
        """
        waiting = self._producer.flush(timeout_s)
        if self._refused:
            refused, self._refused = dict(self._refused), Counter()
            raise DeliveryError(refused)
        if waiting:
            raise FlushTimeoutError(waiting, timeout_s)

    async def flushed(self, timeout_s: float) -> None:
        """Do `flush` in a thread, so that the event loop goes on."""
        await asyncio.to_thread(self.flush, timeout_s)

    def close(self, timeout_s: float) -> None:
        """Flush, and close the connection; errors as in `flush`."""
        try:
            self.flush(timeout_s)
        finally:
            self._producer.purge()
            self._producer.flush(1.0)

    def _on_refused(self, error: KafkaError | None, _record: Message) -> None:
        if error is not None:
            self._refused[error.name()] += 1

    def _on_error(self, error: KafkaError) -> None:
        log = logger.critical if error.fatal() else logger.warning
        log("Kafka producer: %s", error.str())

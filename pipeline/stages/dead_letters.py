"""What every stage does with bytes that it cannot use: write them to ``dead-letters``, and count them by reason."""

import topics
from pipeline.core.records.kafka.columns import RecordColumns
from pipeline.core.records.telegraf.parsed import Refusal
from pipeline.runtime.kafka.producer import RecordProducer
from pipeline.runtime.observability.metrics import Metrics
from schemas.reasons import DeadLetterReason
from schemas.records import DeadLetter

MAX_VALUE_BYTES = 5 * 1024 * 1024
"""Longest value that a dead letter carries: as base64 it still fits in a record of the topic."""


class DeadLetterWriter:
    """Writes the dead letters of one stage.

    Parameters
    ----------
    stage
        Name of the stage, written into each dead letter.
    topic
        Topic that the stage reads.
    producer, metrics
        What sends, and what counts.
    """

    def __init__(self, stage: str, topic: str, producer: RecordProducer, metrics: Metrics) -> None:
        self._stage = stage
        self._topic = topic
        self._producer = producer
        self._metrics = metrics

    def refuse(self, partition: int, offset: int, refusal: Refusal, value: bytes) -> None:
        """Write what a parser refused."""
        self._write(partition, offset, refusal.line, refusal.column, refusal.reason, refusal.message, value)

    def reject(self, partition: int, offset: int, reason: DeadLetterReason, message: str, value: bytes) -> None:
        """Write a whole record."""
        self._write(partition, offset, None, None, reason, message, value)

    def unreadable(self, columns: RecordColumns) -> None:
        """Write the batches of a fetch that could not be decoded."""
        for batch in columns.unreadable:
            message = f"offsets {batch.base_offset} to {batch.last_offset}: {batch.message}"
            self.reject(columns.partition, batch.base_offset, DeadLetterReason.UNREADABLE_BATCH, message, batch.raw)

    def _write(
        self,
        partition: int,
        offset: int,
        line: int | None,
        column: int | None,
        reason: DeadLetterReason,
        message: str,
        value: bytes,
    ) -> None:
        if len(value) > MAX_VALUE_BYTES:
            message = f"{message} (the first {MAX_VALUE_BYTES} of {len(value)} bytes are kept)"
            value = value[:MAX_VALUE_BYTES]
        dead_letter = DeadLetter(
            topic=self._topic,
            partition=partition,
            offset=offset,
            line=line,
            column=column,
            reason=reason,
            message=message,
            stage=self._stage,
            value=value,
        )
        self._producer.produce(topics.DEAD_LETTERS, key=dead_letter.key().encode(), value=dead_letter.to_json())
        self._metrics.dead_lettered_records.labels(self._stage, self._topic, str(partition), reason.value).inc()

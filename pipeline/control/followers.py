"""Follows the topics ``alerts`` and ``actions`` into the database: each record once, where it stopped it goes on."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from pydantic import ValidationError
from sqlalchemy import Connection, delete, insert, select

from pipeline.control.actions import apply_action, forget_actions
from pipeline.control.alerts import apply_event, forget_alerts
from pipeline.control.database import Database
from pipeline.control.leadership import Leadership
from pipeline.control.metrics import ControlFamilies
from pipeline.control.tables import PLACES
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.kafka.topic_reader import TopicReader
from schemas.action import Action
from schemas.alert import AlertEvent
from topics import ACTIONS, ALERTS

logger = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 500
READ_WAIT_S: Final = 0.2
KAFKA_TIMEOUT_S: Final = 10.0
WAIT_FOR_LEADERSHIP_S: Final = 1.0
FORGET_EVERY_S: Final = 3600.0

Apply = Callable[[Connection, bytes, int], bool]


def _apply_alert(connection: Connection, value: bytes, now_ms: int) -> bool:
    return apply_event(connection, AlertEvent.model_validate_json(value), now_ms)


def _apply_action(connection: Connection, value: bytes, _now_ms: int) -> bool:
    return apply_action(connection, Action.model_validate_json(value))


APPLY: Final[Mapping[str, Apply]] = {ALERTS: _apply_alert, ACTIONS: _apply_action}


class Followers:
    """Reads both topics, and forgets what is older than the history is kept.

    Places are kept in the transaction of what was read: nothing is read twice, and nothing is left out. The consumer
    group is asked for and never joined.

    Parameters
    ----------
    kafka
        How to reach Kafka.
    database
        Where it goes.
    leadership
        Whether this instance follows.
    metrics
        Where it is counted.
    history_ms
        How long it is kept.
    now_ms
        The clock.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        database: Database,
        leadership: Leadership,
        metrics: ControlFamilies,
        *,
        history_ms: int,
        now_ms: Callable[[], int],
    ) -> None:
        self._kafka = kafka
        self._database = database
        self._leadership = leadership
        self._metrics = metrics
        self._history_ms = history_ms
        self._now_ms = now_ms
        self._consumer: Consumer | None = None
        self._forgotten_s = float("-inf")

    def step(self) -> float:
        """Take over what there is; return how many seconds to wait.

        Raises
        ------
        TopicReadError, KafkaException, OperationalError
            If Kafka or the database is away, or a topic is missing: call again.
        """
        if not self._leadership.is_held():
            self.close()
            return WAIT_FOR_LEADERSHIP_S
        self._forget_at_times()
        if self._consumer is None:
            self._consumer = self._opened()
        try:
            self._take(self._consumer.consume(MOST_AT_ONCE, READ_WAIT_S))
        except BaseException:
            self.close()  # what was fetched and not kept is fetched again
            raise
        return 0.0

    def close(self) -> None:
        """Let go of Kafka."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    def _opened(self) -> Consumer:
        with TopicReader(self._kafka, KAFKA_TIMEOUT_S) as reader:
            found = {topic: reader.partitions(topic) for topic in APPLY}
        with self._database.reading() as connection:
            rows = connection.execute(select(PLACES)).mappings()
            places = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
        quiet: dict[str, Any] = {"log_level": 0, "error_cb": self._on_error}
        consumer = Consumer(
            {
                **self._kafka.librdkafka(),
                **quiet,
                "group.id": f"{self._kafka.group_prefix}-control",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.message.max.bytes": 16 * 1024 * 1024,
            }
        )
        consumer.assign(
            [
                TopicPartition(topic, partition, places.get((topic, partition), OFFSET_BEGINNING))
                for topic, partitions in found.items()
                for partition in partitions
            ]
        )
        return consumer

    def _take(self, messages: list[Message]) -> None:
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(message)
            elif not error.retriable() and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                raise KafkaException(error)
        if not records:
            return
        places: dict[tuple[str, int], int] = {}
        with self._database.writing() as connection:
            for message in records:
                topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
                self._apply(connection, topic, partition, offset, message.value() or b"")
                places[topic, partition] = offset + 1
            for (topic, partition), next_offset in places.items():
                row = {"topic": topic, "partition": partition, "next_offset": next_offset}
                connection.execute(delete(PLACES).where(PLACES.c.topic == topic, PLACES.c.partition == partition))
                connection.execute(insert(PLACES).values(row))

    def _apply(self, connection: Connection, topic: str, partition: int, offset: int, value: bytes) -> None:
        try:
            APPLY[topic](connection, value, self._now_ms())
        except (ValidationError, RecursionError):
            self._metrics.followed_records.labels(topic, "unusable").inc()
            logger.error("%s/%d/%d is no record of this topic", topic, partition, offset)  # noqa: TRY400  its text has the record
        else:
            self._metrics.followed_records.labels(topic, "kept").inc()

    def _forget_at_times(self) -> None:
        now_s = time.monotonic()
        if now_s - self._forgotten_s < FORGET_EVERY_S:
            return
        before_ms = self._now_ms() - self._history_ms
        with self._database.writing() as connection:
            forget_alerts(connection, before_ms)
            forget_actions(connection, before_ms)
        self._forgotten_s = now_s

    def _on_error(self, error: KafkaError) -> None:
        logger.warning("alerts and actions: %s", error.str())

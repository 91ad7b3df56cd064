"""Follows the topics ``alerts`` and ``actions`` into the database: each record once, where it stopped it goes on."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from pydantic import ValidationError
from sqlalchemy import Connection, delete, insert, select

from pipeline.control.actions import apply_action, forget_actions
from pipeline.control.alerts import apply_event, forget_alerts
from pipeline.control.database import Database
from pipeline.control.leadership import Leadership
from pipeline.control.metrics import ControlFamilies
from pipeline.control.tables import PLACES
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.kafka.tailer import RecordQueue, TailedRecord, Tailer
from schemas.action import Action
from schemas.alert import AlertEvent
from topics import ACTIONS, ALERTS

logger = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 500
MOST_WAITING: Final = 2000
"""Records that wait to be taken; then nothing more is read."""
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
        self._followed: tuple[Tailer, RecordQueue] | None = None
        self._forgotten_s = float("-inf")

    def step(self) -> float:
        """Take what there is into the database; return how many seconds to wait.

        Raises
        ------
        TopicReadError, KafkaException, OperationalError
            If Kafka or the database is away, or a topic is missing: call again.
        """
        if not self._leadership.is_held():
            self.close()
            return WAIT_FOR_LEADERSHIP_S
        self._forget_at_times()
        if self._followed is None:
            self._followed = self._opened()
        tailer, queue = self._followed
        try:
            tailer.check()
            self._take(queue.take(MOST_AT_ONCE, READ_WAIT_S))
        except BaseException:
            self.close()  # what was fetched and not kept is fetched again
            raise
        return 0.0

    def close(self) -> None:
        """End the following."""
        followed, self._followed = self._followed, None
        if followed is not None:
            tailer, queue = followed
            queue.close()
            tailer.close()

    def _opened(self) -> tuple[Tailer, RecordQueue]:
        with self._database.reading() as connection:
            rows = connection.execute(select(PLACES)).mappings()
            places = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
        queue = RecordQueue(MOST_WAITING)
        tailer = Tailer(self._kafka, "control", queue.put)
        tailer.start(tuple(APPLY), places, KAFKA_TIMEOUT_S)
        return tailer, queue

    def _take(self, records: list[TailedRecord]) -> None:
        if not records:
            return
        places: dict[tuple[str, int], int] = {}
        with self._database.writing() as connection:
            for topic, partition, offset, _, value in records:
                self._apply(connection, topic, partition, offset, value)
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

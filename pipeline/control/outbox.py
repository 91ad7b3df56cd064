"""Publishes what waits in the outbox to the topic ``policies``: in order, at least once."""

from contextlib import suppress
from typing import Any, Final

from sqlalchemy import delete, func, select

from pipeline.control.database import Database
from pipeline.control.documents import publish_again
from pipeline.control.leadership import Leadership
from pipeline.control.metrics import ControlFamilies
from pipeline.control.tables import OUTBOX
from pipeline.runtime.kafka.producer import DeliveryError, FlushTimeoutError, RecordProducer
from topics import POLICIES

MOST_AT_ONCE: Final = 500
FLUSH_TIMEOUT_S: Final = 2.0
"""Then the loop has a look whether it shall end, and waits on."""
CLOSE_TIMEOUT_S: Final = 0.5
IDLE_S: Final = 0.5
"""Until the outbox is looked at again unasked: for what another instance put there."""


class Publisher:
    """Sends the outbox to Kafka.

    A row is deleted when Kafka has acknowledged it: after a crash in between it is sent again, with what followed it,
    so that the newest value of each key is the last one on the topic too.

    Parameters
    ----------
    database
        Where the outbox is.
    producer
        The way to Kafka.
    leadership
        Whether this instance publishes.
    metrics
        Where it is counted.
    """

    def __init__(
        self, database: Database, producer: RecordProducer, leadership: Leadership, metrics: ControlFamilies
    ) -> None:
        self._database = database
        self._producer = producer
        self._leadership = leadership
        self._metrics = metrics
        self._sent: list[Any] = []

    def step(self) -> float:
        """Publish what waits; return how many seconds there is nothing to do.

        Raises
        ------
        FlushTimeoutError, DeliveryError, OperationalError
            If Kafka or the database is away: nothing is lost, call again.
        """
        if not self._sent and self._leadership.is_held():
            self._send()
        if not self._sent:
            return IDLE_S
        try:
            self._producer.flush(FLUSH_TIMEOUT_S)
        except DeliveryError:
            self._sent = []  # refused: sent again; while it is only slow it stays on its way
            raise
        self._forget()
        return 0.0

    def close(self) -> None:
        """Let go of Kafka; what it has not acknowledged is in the outbox still."""
        with suppress(DeliveryError, FlushTimeoutError):
            self._producer.close(CLOSE_TIMEOUT_S)

    def _send(self) -> None:
        query = select(OUTBOX).order_by(OUTBOX.c.number).limit(MOST_AT_ONCE)
        with self._database.reading() as connection:
            waiting = connection.execute(select(func.count()).select_from(OUTBOX)).scalar_one()
            rows = connection.execute(query).mappings().all()
        self._metrics.outbox_records.set(waiting)
        for row in rows:
            value = None if row["value"] is None else row["value"].encode()
            self._producer.produce(POLICIES, key=row["key"].encode(), value=value)
        self._sent = list(rows)

    def _forget(self) -> None:
        numbers = [row["number"] for row in self._sent]
        with self._database.writing() as connection:
            deleted = connection.execute(delete(OUTBOX).where(OUTBOX.c.number.in_(numbers))).rowcount
            if deleted < len(numbers):
                # another instance led meanwhile and sent these, and newer ones; ours may lie behind them on the topic
                publish_again(connection, (row["key"] for row in self._sent), self._sent[-1]["created_ms"])
        self._metrics.published_policies.inc(len(numbers))
        self._sent = []

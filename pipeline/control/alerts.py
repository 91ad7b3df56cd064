"""Alerts in the database: what stands on the topic ``alerts``, and what people say of it."""

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, and_, delete, exists, insert, or_, select, update

from pipeline.control.auth.principal import Tenants
from pipeline.control.database import Database
from pipeline.control.documents import ACKNOWLEDGEMENT, MissingError, publish
from pipeline.control.tables import ALERT_COMMENTS, ALERT_EVENTS, ALERTS
from pipeline.core.policies import policy_key
from schemas.alert import AlertEvent, AlertState
from schemas.silence import Acknowledgement

__all__ = ["AlertFilter", "AlertQueries", "NotFiringError", "apply_event", "forget_alerts"]

_OVER: Final = frozenset({AlertState.OK, AlertState.PENDING})


class NotFiringError(Exception):
    """The alert is over."""


class AlertFilter(NamedTuple):
    """Which alerts; None: any."""

    is_open: bool | None = None
    level: str | None = None
    policy: str | None = None
    ns_id: str | None = None
    resource: str | None = None
    is_acknowledged: bool | None = None


class AlertQueries:
    """Reads alerts, and keeps what people say of them.

    Parameters
    ----------
    database
        Where they are.
    now_ms
        The clock: milliseconds since 1970-01-01T00:00:00Z.
    on_change
        Called when something waits in the outbox.
    """

    def __init__(self, database: Database, now_ms: Callable[[], int], on_change: Callable[[], None]) -> None:
        self._database = database
        self._now_ms = now_ms
        self._on_change = on_change

    def page(
        self, tenants: Tenants, wanted: AlertFilter, *, after: tuple[int, str] | None, limit: int
    ) -> list[dict[str, Any]]:
        """Return alerts, that which changed last first; those behind ``after``, a time and an id, if it is given."""
        query = _matching(_visible(tenants), wanted)
        if after is not None:
            time_ms, alert_id = after
            is_older = ALERTS.c.changed_ms < time_ms
            is_behind = and_(ALERTS.c.changed_ms == time_ms, ALERTS.c.alert_id > alert_id)
            query = query.where(or_(is_older, is_behind))
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(ALERTS.c.changed_ms.desc(), ALERTS.c.alert_id).limit(limit))
            return [_alert(row) for row in rows.mappings()]

    def get(self, alert_id: str, tenants: Tenants) -> dict[str, Any]:
        """Return one alert.

        Raises
        ------
        MissingError
            If there is none of that id that is theirs.
        """
        with self._database.reading() as connection:
            return _get(connection, alert_id, tenants)

    def events(self, alert_id: str, tenants: Tenants, *, before: int | None, limit: int) -> list[dict[str, Any]]:
        """Return an alert's events with their numbers, the newest first; errors as of `get`."""
        query = select(ALERT_EVENTS).where(ALERT_EVENTS.c.alert_id == alert_id)
        if before is not None:
            query = query.where(ALERT_EVENTS.c.number < before)
        with self._database.reading() as connection:
            _get(connection, alert_id, tenants)
            rows = connection.execute(query.order_by(ALERT_EVENTS.c.number.desc()).limit(limit)).mappings()
            return [{"number": row["number"], "event": json.loads(row["event"])} for row in rows]

    def comments(self, alert_id: str, tenants: Tenants, *, after: int | None, limit: int) -> list[dict[str, Any]]:
        """Return what was said of an alert, the oldest first; errors as of `get`."""
        query = select(ALERT_COMMENTS).where(ALERT_COMMENTS.c.alert_id == alert_id)
        if after is not None:
            query = query.where(ALERT_COMMENTS.c.number > after)
        with self._database.reading() as connection:
            _get(connection, alert_id, tenants)
            rows = connection.execute(query.order_by(ALERT_COMMENTS.c.number).limit(limit)).mappings()
            return [{name: row[name] for name in ("number", "author", "time_ms", "text")} for row in rows]

    def comment(self, alert_id: str, tenants: Tenants, *, author: str, text: str) -> dict[str, Any]:
        """Keep what somebody says of an alert, and return it; errors as of `get`."""
        said = {"author": author, "time_ms": self._now_ms(), "text": text}
        with self._database.writing() as connection:
            _get(connection, alert_id, tenants)
            added = connection.execute(insert(ALERT_COMMENTS).values({"alert_id": alert_id, **said}))
            key = added.inserted_primary_key
        return {"number": None if key is None else key[0], **said}

    def acknowledge(
        self, alert_id: str, tenants: Tenants, acknowledgement: Callable[[int, int], Acknowledgement]
    ) -> dict[str, Any]:
        """Note that somebody looks after an alert, publish it to the workers, and return the alert.

        Parameters
        ----------
        alert_id, tenants
            Which, and whose.
        acknowledgement
            Makes the record from the number of the alert's newest event and the time.

        Raises
        ------
        MissingError
            If there is no such alert that is theirs.
        NotFiringError
            If it is over.
        """
        with self._database.writing() as connection:
            found = _get(connection, alert_id, tenants)
            if not found["is_open"]:
                raise NotFiringError
            record = acknowledgement(found["event"]["sequence"], self._now_ms()).model_dump_json()
            _set_acknowledgement(connection, alert_id, record, self._now_ms())
            found = _get(connection, alert_id, tenants)
        self._on_change()
        return found

    def withdraw(self, alert_id: str, tenants: Tenants) -> None:
        """Take an acknowledgement back; errors as of `get`, and none where there is none."""
        with self._database.writing() as connection:
            if _get(connection, alert_id, tenants)["acknowledgement"] is not None:
                _set_acknowledgement(connection, alert_id, None, self._now_ms())
        self._on_change()


def apply_event(connection: Connection, event: AlertEvent, now_ms: int) -> bool:
    """Store an event of the topic; return whether it was new.

    An event that is there already changes nothing: the stage writes events again after a crash, older ones included.
    """
    if connection.execute(select(exists().where(ALERT_EVENTS.c.id == event.id))).scalar_one():
        return False
    text = event.model_dump_json()
    before = connection.execute(select(ALERTS).where(ALERTS.c.alert_id == event.alert_id)).mappings().one_or_none()
    is_open = event.state not in _OVER
    was_open = before is not None and before["is_open"]
    values = {
        "policy": _plain(event.policy, 200),
        "ns_id": _plain(event.tags["ns_id"], 200) if "ns_id" in event.tags else None,
        "resource": _plain(event.resource, 10_000),
        "level": event.level,
        "state": event.state.value,
        "is_open": is_open,
        "opened_ms": before["opened_ms"] if before is not None and was_open else event.time_ms,
        "changed_ms": event.time_ms,
        "event": text,
    }
    if before is None:
        connection.execute(insert(ALERTS).values({"alert_id": event.alert_id, **values}))
    else:
        connection.execute(update(ALERTS).where(ALERTS.c.alert_id == event.alert_id).values(values))
        if not is_open and before["acknowledgement"] is not None:
            _set_acknowledgement(connection, event.alert_id, None, now_ms)
    row = {"id": event.id, "alert_id": event.alert_id, "time_ms": event.time_ms, "event": text}
    connection.execute(insert(ALERT_EVENTS).values(row))
    return True


def forget_alerts(connection: Connection, before_ms: int) -> None:
    """Delete alerts that were over before a time with all that was said of them, and older events of the others."""
    connection.execute(delete(ALERTS).where(ALERTS.c.is_open.is_(False), ALERTS.c.changed_ms < before_ms))
    connection.execute(delete(ALERT_EVENTS).where(ALERT_EVENTS.c.time_ms < before_ms))


def _set_acknowledgement(connection: Connection, alert_id: str, record: str | None, now_ms: int) -> None:
    connection.execute(update(ALERTS).where(ALERTS.c.alert_id == alert_id).values(acknowledgement=record))
    publish(connection, policy_key(ACKNOWLEDGEMENT, alert_id), record, now_ms)


def _plain(text: str, length: int) -> str:
    """Return a text as PostgreSQL takes it into a column: without zero bytes, and not too long."""
    return text.replace("\x00", "\ufffd")[:length]


def _visible(tenants: Tenants) -> Select[Any]:
    query = select(ALERTS)
    return query if tenants is None else query.where(ALERTS.c.ns_id.in_(sorted(tenants)))


def _matching(query: Select[Any], wanted: AlertFilter) -> Select[Any]:
    equal = {"is_open": wanted.is_open, "level": wanted.level, "policy": wanted.policy, "ns_id": wanted.ns_id}
    for name, value in {**equal, "resource": wanted.resource}.items():
        if value is not None:
            query = query.where(ALERTS.c[name] == value)
    if wanted.is_acknowledged is not None:
        column = ALERTS.c.acknowledgement
        query = query.where(column.is_not(None) if wanted.is_acknowledged else column.is_(None))
    return query


def _get(connection: Connection, alert_id: str, tenants: Tenants) -> dict[str, Any]:
    row = connection.execute(_visible(tenants).where(ALERTS.c.alert_id == alert_id)).mappings().one_or_none()
    if row is None:
        raise MissingError
    return _alert(row)


def _alert(row: Any) -> dict[str, Any]:
    said = row["acknowledgement"]
    names = ("alert_id", "policy", "ns_id", "resource", "level", "state", "is_open", "opened_ms", "changed_ms")
    return {
        **{name: row[name] for name in names},
        "event": json.loads(row["event"]),
        "acknowledgement": None if said is None else json.loads(said),
    }

"""The history of actions in the database, and the approvals of scripts that wait for one."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, delete, insert, select

from pipeline.control.auth.principal import Tenants
from pipeline.control.database import Database
from pipeline.control.documents import APPROVAL, MissingError, publish
from pipeline.control.tables import ACTION_ALERTS, ACTIONS
from pipeline.core.policies import policy_key
from schemas.action import Action, Outcome
from schemas.script import Approval

__all__ = ["ActionFilter", "ActionQueries", "NotWaitingError", "apply_action", "forget_actions"]


class NotWaitingError(Exception):
    """The run does not wait for an approval."""


class ActionFilter(NamedTuple):
    """Which actions; None: any."""

    alert_id: str | None = None
    ns_id: str | None = None
    outcome: str | None = None


class ActionQueries:
    """Reads actions, and publishes approvals.

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
        self, tenants: Tenants, wanted: ActionFilter, *, before: int | None, limit: int
    ) -> list[tuple[int, dict[str, Any]]]:
        """Return actions with their numbers, the newest first; those below ``before`` if it is given."""
        query = _visible(tenants)
        for name in ("ns_id", "outcome"):
            value = getattr(wanted, name)
            if value is not None:
                query = query.where(ACTIONS.c[name] == value)
        if wanted.alert_id is not None:
            about = select(ACTION_ALERTS.c.number).where(ACTION_ALERTS.c.alert_id == wanted.alert_id)
            query = query.where(ACTIONS.c.number.in_(about))
        if before is not None:
            query = query.where(ACTIONS.c.number < before)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(ACTIONS.c.number.desc()).limit(limit)).mappings()
            return [(row["number"], json.loads(row["record"])) for row in rows]

    def approve(self, key: str, tenants: Tenants, approval: Callable[[int], Approval]) -> Approval:
        """Answer a script that waits, publish the answer to the workers, and return it.

        Parameters
        ----------
        key, tenants
            The idempotency key of the run, and whose.
        approval
            Makes the answer from the time.

        Raises
        ------
        MissingError
            If there is no such run that is theirs.
        NotWaitingError
            If it does not wait.
        """
        query = _visible(tenants).where(ACTIONS.c.key == key).order_by(ACTIONS.c.number.desc()).limit(1)
        with self._database.writing() as connection:
            row = connection.execute(query).mappings().one_or_none()
            if row is None:
                raise MissingError
            if row["outcome"] != Outcome.AWAITING_APPROVAL:
                raise NotWaitingError
            answer = approval(self._now_ms())
            publish(connection, policy_key(APPROVAL, key), answer.model_dump_json(), self._now_ms())
        self._on_change()
        return answer


def apply_action(connection: Connection, action: Action) -> bool:
    """Store an action of the topic; return whether it was new. Of equal key, attempt and outcome one is kept."""
    same = (ACTIONS.c.key == action.key, ACTIONS.c.attempt == action.attempt, ACTIONS.c.outcome == action.outcome.value)
    if connection.execute(select(ACTIONS.c.number).where(*same)).first() is not None:
        return False
    row = {
        "key": action.key,
        "attempt": action.attempt,
        "ns_id": None if action.ns_id is None else action.ns_id.replace("\x00", "\ufffd")[:200],
        "outcome": action.outcome.value,
        "time_ms": action.time_ms,
        "record": action.model_dump_json(),
    }
    added = connection.execute(insert(ACTIONS).values(row)).inserted_primary_key
    number = None if added is None else added[0]
    for alert_id in {alert.alert_id for alert in action.alerts}:
        connection.execute(insert(ACTION_ALERTS).values({"number": number, "alert_id": alert_id}))
    return True


def forget_actions(connection: Connection, before_ms: int) -> None:
    """Delete actions before a time."""
    connection.execute(delete(ACTIONS).where(ACTIONS.c.time_ms < before_ms))


def _visible(tenants: Tenants) -> Select[Any]:
    query = select(ACTIONS)
    return query if tenants is None else query.where(ACTIONS.c.ns_id.in_(sorted(tenants)))

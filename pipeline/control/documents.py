"""The documents in the database: policies, scenarios, channels and the rest, each with its change in the outbox."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, delete, insert, select, update

from pipeline.control.auth.principal import Tenants
from pipeline.control.database import Database
from pipeline.control.tables import ALERTS, DOCUMENTS, LINKS, OUTBOX
from pipeline.core.policies import policy_key

__all__ = ["ChangedError", "Documents", "DraftDocument", "Link", "MissingError", "Stored", "TakenError", "UsedError"]

ANY_REVISION: Final = None
ACKNOWLEDGEMENT: Final = "acknowledgement"
APPROVAL: Final = "approval"


class MissingError(Exception):
    """There is no such document, or it is not theirs."""


class TakenError(Exception):
    """There is a document of that id."""


class ChangedError(Exception):
    """The document is not the one any more that the caller has seen."""


class UsedError(Exception):
    """Another document names it."""


@dataclass(frozen=True, slots=True)
class Link:
    """That a document names another."""

    field: str
    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class DraftDocument:
    """A document before it is stored."""

    kind: str
    id: str
    owner: str | None
    document: Mapping[str, Any]
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """A document as it is stored."""

    kind: str
    id: str
    owner: str | None
    revision: int
    document: dict[str, Any]
    updated_ms: int
    updated_by: str


class Documents:
    """Reads and changes documents; each change is published, in the order of the changes.

    Parameters
    ----------
    database
        Where they are.
    now_ms
        The clock: milliseconds since 1970-01-01T00:00:00Z.
    on_change
        Called when a change is kept: something waits in the outbox.
    """

    def __init__(self, database: Database, now_ms: Callable[[], int], on_change: Callable[[], None]) -> None:
        self._database = database
        self._now_ms = now_ms
        self._on_change = on_change

    def page(
        self, kind: str, tenants: Tenants, *, ns_id: str | None, prefix: str, after: str, limit: int
    ) -> list[Stored]:
        """Return documents by their ids.

        Parameters
        ----------
        kind, tenants
            Which, and whose.
        ns_id, prefix
            Only those of this namespace, and whose ids begin so.
        after, limit
            Ids above this one alone, and how many at most.
        """
        query = _visible(tenants).where(DOCUMENTS.c.kind == kind, DOCUMENTS.c.id > after)
        if ns_id is not None:
            query = query.where(DOCUMENTS.c.owner == ns_id)
        if prefix:
            query = query.where(DOCUMENTS.c.id.startswith(prefix, autoescape=True))
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(DOCUMENTS.c.id).limit(limit)).mappings()
            return [_stored(row) for row in rows]

    def get(self, kind: str, name: str, tenants: Tenants) -> Stored:
        """Return one document.

        Raises
        ------
        MissingError
            If there is none of that id that is theirs.
        """
        with self._database.reading() as connection:
            return _get(connection, kind, name, tenants)

    def missing_links(self, draft: DraftDocument) -> list[Link]:
        """Return what a document names that is not there, or is another tenant's."""
        with self._database.reading() as connection:
            return _missing_links(connection, draft)

    def create(self, draft: DraftDocument, by: str) -> Stored:
        """Store a new document, and return it.

        Raises
        ------
        TakenError
            If there is one of that id, whosever it is.
        MissingError
            If what it names has gone.
        """
        with self._database.writing() as connection:
            taken = select(DOCUMENTS.c.id).where(DOCUMENTS.c.kind == draft.kind, DOCUMENTS.c.id == draft.id)
            if connection.execute(taken).first() is not None:
                raise TakenError
            stored = self._new(draft, by, after=0)
            connection.execute(insert(DOCUMENTS).values(_row(stored)))
            self._link_and_publish(connection, draft)
        self._on_change()
        return stored

    def replace(self, draft: DraftDocument, by: str, *, tenants: Tenants, revision: int | None) -> Stored:
        """Store a document in place of the one of its id, and return it.

        Raises
        ------
        MissingError
            If there is none that is theirs, or what it names has gone.
        ChangedError
            If its revision is not that which was asked for (None: any).
        """
        with self._database.writing() as connection:
            found = _get(connection, draft.kind, draft.id, tenants)
            _require(found, revision)
            stored = self._new(draft, by, after=found.revision)
            where = (DOCUMENTS.c.kind == draft.kind, DOCUMENTS.c.id == draft.id)
            connection.execute(update(DOCUMENTS).where(*where).values(_row(stored)))
            self._link_and_publish(connection, draft)
        self._on_change()
        return stored

    def delete(self, kind: str, name: str, *, tenants: Tenants, revision: int | None) -> None:
        """Delete a document; errors as of `replace`, and `UsedError` if another names it."""
        with self._database.writing() as connection:
            _require(_get(connection, kind, name, tenants), revision)
            users = select(LINKS.c.id).where(LINKS.c.to_kind == kind, LINKS.c.to_id == name)
            if connection.execute(users).first() is not None:
                raise UsedError
            connection.execute(delete(LINKS).where(LINKS.c.kind == kind, LINKS.c.id == name))
            connection.execute(delete(DOCUMENTS).where(DOCUMENTS.c.kind == kind, DOCUMENTS.c.id == name))
            publish(connection, policy_key(kind, name), None, self._now_ms())
        self._on_change()

    def publish_all(self) -> int:
        """Put every document into the outbox once more, as after the topic was lost; return how many."""
        with self._database.writing() as connection:
            rows = connection.execute(select(DOCUMENTS).order_by(DOCUMENTS.c.updated_ms)).mappings().all()
            for row in rows:
                publish(connection, policy_key(row["kind"], row["id"]), row["document"], self._now_ms())
        self._on_change()
        return len(rows)

    def _new(self, draft: DraftDocument, by: str, *, after: int) -> Stored:
        now_ms = self._now_ms()
        # a revision that no earlier document of the id can have had
        revision = max(now_ms, after + 1)
        return Stored(draft.kind, draft.id, draft.owner, revision, dict(draft.document), now_ms, by)

    def _link_and_publish(self, connection: Connection, draft: DraftDocument) -> None:
        if _missing_links(connection, draft):
            raise MissingError
        connection.execute(delete(LINKS).where(LINKS.c.kind == draft.kind, LINKS.c.id == draft.id))
        for to_kind, to_id in {(link.kind, link.id) for link in draft.links}:
            row = {"kind": draft.kind, "id": draft.id, "to_kind": to_kind, "to_id": to_id}
            connection.execute(insert(LINKS).values(row))
        publish(connection, policy_key(draft.kind, draft.id), json.dumps(draft.document), self._now_ms())


def publish(connection: Connection, key: str, value: str | None, now_ms: int) -> None:
    """Put a record for ``policies`` into the outbox, in the transaction of the connection."""
    connection.execute(insert(OUTBOX).values({"key": key, "value": value, "created_ms": now_ms}))


def publish_again(connection: Connection, keys: Iterable[str], now_ms: int) -> None:
    """Put what keys of ``policies`` stand for now into the outbox; approvals never change, and are passed over."""
    for key in dict.fromkeys(keys):
        kind, _, name = key.partition("/")
        if kind == APPROVAL:
            continue
        query = select(DOCUMENTS.c.document).where(DOCUMENTS.c.kind == kind, DOCUMENTS.c.id == name)
        if kind == ACKNOWLEDGEMENT:
            query = select(ALERTS.c.acknowledgement).where(ALERTS.c.alert_id == name)
        publish(connection, key, connection.execute(query).scalar_one_or_none(), now_ms)


def _visible(tenants: Collection[str] | None) -> Select[Any]:
    query = select(DOCUMENTS)
    return query if tenants is None else query.where(DOCUMENTS.c.owner.in_(sorted(tenants)))


def _get(connection: Connection, kind: str, name: str, tenants: Tenants) -> Stored:
    query = _visible(tenants).where(DOCUMENTS.c.kind == kind, DOCUMENTS.c.id == name)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise MissingError
    return _stored(row)


def _missing_links(connection: Connection, draft: DraftDocument) -> list[Link]:
    missing = []
    for link in draft.links:
        query = select(DOCUMENTS.c.owner).where(DOCUMENTS.c.kind == link.kind, DOCUMENTS.c.id == link.id)
        row = connection.execute(query).one_or_none()
        is_theirs = row is not None and (draft.owner is None or row.owner in {None, draft.owner})
        if not is_theirs:
            missing.append(link)
    return missing


def _require(found: Stored, revision: int | None) -> None:
    if revision is not ANY_REVISION and found.revision != revision:
        raise ChangedError


def _row(stored: Stored) -> dict[str, Any]:
    return {
        "kind": stored.kind,
        "id": stored.id,
        "owner": stored.owner,
        "revision": stored.revision,
        "document": json.dumps(stored.document),
        "updated_ms": stored.updated_ms,
        "updated_by": stored.updated_by,
    }


def _stored(row: Any) -> Stored:
    return Stored(**{**row, "document": json.loads(row["document"])})

"""API keys: made once, shown once, kept as a hash."""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import insert, select, update

from pipeline.control.auth.principal import Principal, Role, Tenants, role_of
from pipeline.control.database import Database
from pipeline.control.tables import API_KEYS

__all__ = ["ApiKeys", "KeyRow", "key_id_of"]

_KEY: Final = re.compile(r"cin_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class KeyRow:
    """What is known of a key: not the key."""

    id: str
    name: str
    role: Role
    tenants: Tenants
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None


def key_id_of(token: str) -> str | None:
    """Return the public part of what looks like a key of ours; none for anything else."""
    found = _KEY.fullmatch(token)
    return None if found is None else found[1]


class ApiKeys:
    """The keys of one database.

    Parameters
    ----------
    database
        Where they are.
    now_ms
        The clock: milliseconds since 1970-01-01T00:00:00Z.
    """

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    def create(self, *, name: str, role: Role, tenants: Collection[str] | None, expires_ms: int | None = None) -> str:
        """Return a new key: it cannot be shown again.

        Raises
        ------
        ValueError
            If a tenant is no ns_id, there is an empty list of them, or the name is empty or too long.
        """
        if not 0 < len(name) <= 200 or not name.isprintable():
            raise ValueError("name: must have 1 to 200 printable characters")
        wrong = [tenant for tenant in tenants or () if not _TENANT.fullmatch(tenant)]
        if wrong or (tenants is not None and not tenants):
            raise ValueError(f"tenant: must be letters, digits, '.', '_' and '-', got {wrong[:1] or 'none'}")
        key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        row = {
            "id": key_id,
            "name": name,
            "hash": _hash(secret),
            "role": role.name.lower(),
            "tenants": None if tenants is None else json.dumps(sorted(tenants)),
            "created_ms": self._now_ms(),
            "expires_ms": expires_ms,
        }
        with self._database.writing() as connection:
            connection.execute(insert(API_KEYS).values(row))
        return f"cin_{key_id}_{secret}"

    def principal(self, token: str) -> Principal | None:
        """Return whose a key is; none if it is no valid one."""
        found = _KEY.fullmatch(token)
        if found is None:
            return None
        with self._database.reading() as connection:
            row = connection.execute(select(API_KEYS).where(API_KEYS.c.id == found[1])).mappings().one_or_none()
        if row is None or not hmac.compare_digest(row["hash"], _hash(found[2])):
            return None
        key = _row(row)
        is_over = key.expires_ms is not None and key.expires_ms <= self._now_ms()
        if is_over or key.revoked_ms is not None:
            return None
        return Principal(f"key:{key.name}", key.role, key.tenants)

    def rows(self) -> list[KeyRow]:
        """Return what is known of all keys, the oldest first."""
        with self._database.reading() as connection:
            return [
                _row(row) for row in connection.execute(select(API_KEYS).order_by(API_KEYS.c.created_ms)).mappings()
            ]

    def revoke(self, key_id: str) -> bool:
        """End a key; return whether there was one to end."""
        with self._database.writing() as connection:
            ended = connection.execute(
                update(API_KEYS)
                .where(API_KEYS.c.id == key_id, API_KEYS.c.revoked_ms.is_(None))
                .values(revoked_ms=self._now_ms())
            )
        return ended.rowcount == 1


def _hash(secret: str) -> str:
    # a plain hash: the secret has 256 random bits, which nobody can go through
    return hashlib.sha256(secret.encode()).hexdigest()


def _row(row: Any) -> KeyRow:
    return KeyRow(
        id=row["id"],
        name=row["name"],
        role=role_of(row["role"]),
        tenants=None if row["tenants"] is None else frozenset(json.loads(row["tenants"])),
        created_ms=row["created_ms"],
        expires_ms=row["expires_ms"],
        revoked_ms=row["revoked_ms"],
    )

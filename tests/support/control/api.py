"""An API that runs for a test, and clients of it."""

import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from pipeline.control.actions import ActionQueries
from pipeline.control.alerts import AlertQueries
from pipeline.control.app import Parts, make_app
from pipeline.control.auth.access import Access, Lockout
from pipeline.control.auth.api_keys import ApiKeys
from pipeline.control.auth.oidc import OidcTokens
from pipeline.control.auth.principal import Role
from pipeline.control.database import Database
from pipeline.control.documents import Documents
from pipeline.control.routes.health import health_router
from pipeline.control.tables import OUTBOX
from pipeline.runtime.secrets.sealing import make_key_file, read_key_file
from tests.support.waiting import wait_until

MAX_BODY_BYTES = 500_000


class Clock:
    """A clock that moves one millisecond a look."""

    def __init__(self) -> None:
        self.time_ms = 1_790_000_000_000

    def __call__(self) -> int:
        self.time_ms += 1
        return self.time_ms


class Api:
    """The API over a database, on a free port, until `close`."""

    def __init__(self, database: Database, folder: Path, tokens: OidcTokens | None = None) -> None:
        self.database = database
        self.clock = Clock()
        self.keys = ApiKeys(database, self.clock)
        key_file = folder / "control.key"
        make_key_file(key_file, where="key")
        self.box = read_key_file(key_file, where="key")
        self.documents = Documents(database, self.clock, lambda: None)
        app = make_app(
            Parts(
                documents=self.documents,
                alerts=AlertQueries(database, self.clock, lambda: None),
                actions=ActionQueries(database, self.clock, lambda: None),
                access=Access(self.keys, tokens, Lockout()),
                box=self.box,
                health=health_router(database, CollectorRegistry(), lambda: True),
                max_body_bytes=MAX_BODY_BYTES,
            )
        )
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=5)
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()
        wait_until(lambda: self._server.started, timeout_s=10, what="the API", alive=self._thread.is_alive)
        self._clients: list[httpx.Client] = []

    def client(self, token: str | None = None) -> httpx.Client:
        """Return a client with a token or key."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=20)
        self._clients.append(client)
        return client

    def as_(self, role: Role, *tenants: str) -> httpx.Client:
        """Return a client with a key of a role, and of tenants if there are any."""
        name = f"{role.name.lower()}-{'-'.join(tenants) or 'all'}"
        return self.client(self.keys.create(name=name, role=role, tenants=tenants or None))

    def outbox(self) -> list[tuple[str, str | None]]:
        """Return what waits to be published, in order."""
        with self.database.reading() as connection:
            rows = connection.execute(select(OUTBOX.c.key, OUTBOX.c.value).order_by(OUTBOX.c.number))
            return [(row.key, row.value) for row in rows]

    def close(self) -> None:
        """End it."""
        for client in self._clients:
            client.close()
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()


def policy(name: str, *ns_ids: str, **more: Any) -> dict[str, Any]:
    """Return a trigger policy for some namespaces."""
    targets = [{"ns_id": ns_id} for ns_id in ns_ids]
    return {"id": name, "levels": {"warn": {"fire": 70, "reset": 60}}, "targets": targets, **more}


def fields(answer: httpx.Response) -> list[str]:
    """Return which fields a problem names."""
    assert answer.headers["content-type"] == "application/problem+json"
    return [mistake["field"] for mistake in answer.json()["errors"]]

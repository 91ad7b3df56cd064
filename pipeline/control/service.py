"""The control service from start to a clean end."""

import logging
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvicorn

from pipeline.control.actions import ActionQueries
from pipeline.control.alerts import AlertQueries
from pipeline.control.app import Parts, make_app
from pipeline.control.auth.access import Access, Lockout
from pipeline.control.auth.api_keys import ApiKeys
from pipeline.control.auth.jwks import Jwks
from pipeline.control.auth.oidc import OidcTokens
from pipeline.control.background import BackgroundLoop
from pipeline.control.database import Database
from pipeline.control.documents import Documents
from pipeline.control.followers import Followers
from pipeline.control.leadership import Leadership
from pipeline.control.metrics import ControlFamilies
from pipeline.control.outbox import Publisher
from pipeline.control.routes.health import health_router
from pipeline.control.settings import ControlSettings
from pipeline.runtime.kafka.producer import RecordProducer
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.observability.metrics import Metrics
from pipeline.runtime.secrets.sealing import SecretBox, make_key_file, read_key_file
from pipeline.settings.model import Settings

logger = logging.getLogger(__name__)

GRACE_S: Final = 10
POLL_S: Final = 0.2
_KEY_SETTING: Final = "control.secrets_key_file"


def now_ms() -> int:
    """Return the time: milliseconds since 1970-01-01T00:00:00Z."""
    return time.time_ns() // 1_000_000


def secret_box(settings: ControlSettings) -> SecretBox:
    """Return what seals channels' secrets; beside a SQLite file its key is made the first time.

    Raises
    ------
    SettingsError
        If the key cannot be read or made.
    """
    path = settings.secrets_key_file
    if path is None:
        path = Path(settings.database_file).with_suffix(".key")
        make_key_file(path, where=_KEY_SETTING)
    return read_key_file(path, where=_KEY_SETTING)


class ControlService:
    """The API, the publisher of the outbox, and the followers of alerts and actions, over one database.

    Parameters
    ----------
    settings
        Of the process.
    metrics
        Where it is counted.

    Raises
    ------
    SettingsError
        If a setting cannot be used.
    DatabaseError
        If the database cannot be reached or migrated.
    OSError
        If its port is taken.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        control = settings[ControlSettings]
        box = secret_box(control)
        self._database = Database(control)
        self._database.migrate()
        self._leadership = Leadership(self._database, control)
        self._has_failed = threading.Event()
        families = ControlFamilies(metrics)
        publisher = Publisher(self._database, RecordProducer(settings[KafkaSettings]), self._leadership, families)
        followers = Followers(
            settings[KafkaSettings],
            self._database,
            self._leadership,
            families,
            history_ms=control.history_ms,
            now_ms=now_ms,
        )
        self._publishing = self._loop("publishing policies", publisher.step, publisher.close)
        self._following = self._loop("following alerts", followers.step, followers.close)
        wake = self._publishing.wake
        issuer = control.oidc_issuer
        tokens = None if issuer is None else OidcTokens(control, Jwks(issuer, control.oidc_jwks_url))
        app = make_app(
            Parts(
                documents=Documents(self._database, now_ms, wake),
                alerts=AlertQueries(self._database, now_ms, wake),
                actions=ActionQueries(self._database, now_ms, wake),
                access=Access(ApiKeys(self._database, now_ms), tokens, Lockout()),
                box=box,
                health=health_router(self._database, metrics.registry, self._is_alive),
                max_body_bytes=control.max_body_bytes,
            )
        )
        self._socket = socket.create_server((control.web_host, control.web_port))
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE_S,
            )
        )

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._socket.getsockname()[1])

    def run(self, stop: threading.Event) -> int:
        """Serve until ``stop`` is set or a part ends; return the exit status, 1 for the latter."""
        serving = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="serving", daemon=True
        )
        serving.start()
        self._publishing.start()
        self._following.start()
        logger.info("the API on http://%s:%d", *self._socket.getsockname()[:2])
        while not stop.wait(POLL_S) and not self._has_failed.is_set() and serving.is_alive():
            pass
        self._server.should_exit = True
        serving.join(2 * GRACE_S)
        self._following.stop(GRACE_S)
        self._publishing.stop(2 * GRACE_S)
        self._leadership.release()
        self._database.close()
        return 0 if stop.is_set() and not self._has_failed.is_set() else 1

    def _loop(self, name: str, step: Callable[[], float], close: Callable[[], None]) -> BackgroundLoop:
        return BackgroundLoop(name, step, self._has_failed.set, close)

    def _is_alive(self) -> bool:
        return self._publishing.is_alive() and self._following.is_alive()

"""One Faust app for one stage: group, assignment and life cycle are Faust's, the records come in columns."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

import faust
from faust.app.base import BootStrategy
from faust.tables.manager import TableManager
from faust.transport.drivers import TRANSPORTS
from mode.supervisors import CrashingSupervisor
from yarl import URL

from pipeline.runtime.engine.runner import StageRunner
from pipeline.runtime.engine.stage import Stage
from pipeline.runtime.engine.transport import Consumer, Transport
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.settings.model import Settings

UNDELIVERED_FETCHES: Final = 4
"""Fetches that wait for the stage, all partitions together."""
REQUEST_TIMEOUT_S: Final = 60.0
REBALANCE_TIMEOUT_S: Final = 60.0
METADATA_MAX_AGE_MS: Final = 10_000
"""A topic that was made a moment before the start may be unknown to the broker that is asked first: it asks again."""
REVOKE_SHARE: Final = 0.5
"""Share of the session time-out in which a stage gives up its partitions."""
MAX_POLL_INTERVAL_S: Final = 24 * 3600.0
"""A stage may pause all partitions while its sink is down; `/healthz` tells when it hangs."""

TRANSPORTS.aliases["cinnamon"] = f"{Transport.__module__}:{Transport.__qualname__}"


class _ConsumerOnly(BootStrategy):
    enable_kafka_producer = False


class _NoTables(TableManager):
    mundane_level = "debug"

    async def on_start(self) -> None:
        """Start without the second that Faust waits for tables to register."""
        await self._update_channels()
        await self.recovery.start()


class _ColumnsSchema(faust.Schema[Any, Any]):
    def loads_key(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> Any:  # noqa: ARG002
        """Return no key: an event has many records."""
        return None

    def loads_value(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> Any:  # noqa: ARG002
        """Return the columns as they are."""
        return message.value


class StageApp(faust.App):
    """A Faust app that reports its own crash, whichever of its services caused it.

    Parameters
    ----------
    runner
        Told of the crash in the event loop's thread.
    """

    BootStrategy = _ConsumerOnly
    mundane_level = "debug"

    def __init__(self, runner: StageRunner, **options: Any) -> None:
        self.runner = runner
        self._crash_loop = asyncio.get_running_loop()
        super().__init__(**options)

    def _crash(self, reason: BaseException) -> None:
        super()._crash(reason)
        self._crash_loop.call_soon_threadsafe(self.runner.fail, reason)

    async def on_first_start(self) -> None:
        """Start the stage before anything that could call it."""
        await self.runner.start()


def build_app(stage: Stage, settings: Settings, on_failure: Callable[[BaseException], None]) -> StageApp:
    """Return the Faust app that runs a stage; to be called in the event loop that it runs in.

    Parameters
    ----------
    stage
        What it runs.
    settings
        Of the process.
    on_failure
        Called once with the exception that ended the stage or the app; the process should end.

    Raises
    ------
    SettingsError
        When a certificate or a password's file cannot be read.
    """
    kafka = settings[KafkaSettings]
    runner = StageRunner(stage, on_failure, REVOKE_SHARE * kafka.session_timeout_s)
    app = StageApp(
        runner,
        id=stage.group,
        broker=[URL(f"cinnamon://{server.strip()}") for server in kafka.bootstrap_servers.split(",")],
        broker_client_id=kafka.client_id,
        broker_credentials=_credentials(kafka),
        broker_session_timeout=kafka.session_timeout_s,
        broker_heartbeat_interval=kafka.heartbeat_interval_ms / 1000,
        broker_request_timeout=max(REQUEST_TIMEOUT_S, kafka.session_timeout_s + 1),
        broker_rebalance_timeout=REBALANCE_TIMEOUT_S,
        broker_max_poll_interval=MAX_POLL_INTERVAL_S,
        consumer_max_fetch_size=kafka.fetch_max_bytes,
        consumer_metadata_max_age_ms=METADATA_MAX_AGE_MS,
        store="memory://",
        stream_buffer_maxsize=UNDELIVERED_FETCHES,
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        TableManager=_NoTables,
    )
    topic = app.topic(stage.source_topic, schema=_ColumnsSchema(), acks=False)
    app.agent(topic, name=stage.name, concurrency=1, supervisor_strategy=CrashingSupervisor)(runner.run)
    app.task(runner.tick_until_stopped)
    app.on_partitions_revoked.connect(_revoked(runner), weak=False)
    app.on_before_shutdown.connect(_stopping(runner), weak=False)
    runner.attach(cast("Consumer", app.consumer))
    return app


def _revoked(runner: StageRunner) -> Callable[..., Any]:
    async def on_partitions_revoked(_app: Any, _revoked: Any, **_options: Any) -> None:
        await runner.revoke()

    return on_partitions_revoked


def _stopping(runner: StageRunner) -> Callable[..., Any]:
    async def on_before_shutdown(_app: Any, **_options: Any) -> None:
        await runner.stop()

    return on_before_shutdown


def _credentials(kafka: KafkaSettings) -> faust.SASLCredentials | faust.SSLCredentials | None:
    context = kafka.ssl_context()
    if kafka.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=kafka.sasl_username,
            password=kafka.read_sasl_password(),
            mechanism=kafka.sasl_mechanism,
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context)

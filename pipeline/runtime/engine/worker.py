"""A worker process: the Faust apps of its stages and its web port in one event loop, from start to a clean end."""

import asyncio
import ctypes
import logging
import os
import signal
from collections.abc import Callable, Sequence
from typing import Final

from aiokafka.errors import KafkaError

from pipeline.runtime.engine.app import StageApp, build_app
from pipeline.runtime.engine.health import Health
from pipeline.runtime.engine.record_fetch import warm_up
from pipeline.runtime.engine.stage import Stage
from pipeline.runtime.engine.web import WebServer
from pipeline.runtime.observability.logs import configure_logging
from pipeline.runtime.observability.metrics import Metrics
from pipeline.runtime.settings import WorkerSettings
from pipeline.settings.model import Settings

logger = logging.getLogger(__name__)

STOP_TIMEOUT_S: Final = 45.0
CRASH_STOP_TIMEOUT_S: Final = 5.0

_M_TRIM_THRESHOLD: Final = -1
_M_TOP_PAD: Final = -2
_M_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 256 * 1024 * 1024
_LARGEST_HEAP_BLOCK_BYTES: Final = 32 * 1024 * 1024


def run_worker(
    stages: Sequence[Stage],
    settings: Settings,
    metrics: Metrics,
    *,
    on_web_port: Callable[[int], None] | None = None,
) -> int:
    """Run stages until SIGTERM or SIGINT, or until one fails.

    Parameters
    ----------
    stages
        What is run; each is a consumer group of its own.
    settings
        Of the process.
    metrics
        Shown on the web port.
    on_web_port
        Called with the web server's port once it listens.

    Returns
    -------
    int
        Exit status: 0 after a signal, when all stages have finished and committed; 1 after a failure.
    """
    configure_logging(settings[WorkerSettings].log_level, settings[WorkerSettings].log_format)
    keep_freed_memory()
    warm_up()
    return asyncio.run(_Worker(stages, settings, metrics, on_web_port).run())


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for reuse instead of giving pages of batches back and forth.

    A fault of a fresh page costs up to 4 µs on a virtual machine, more than a record may. Only for glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_HEAP_BLOCK_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_TOP_PAD, 16 * 1024 * 1024)


class _Worker:
    def __init__(
        self,
        stages: Sequence[Stage],
        settings: Settings,
        metrics: Metrics,
        on_web_port: Callable[[int], None] | None,
    ) -> None:
        self._stages = stages
        self._settings = settings
        self._metrics = metrics
        self._on_web_port = on_web_port
        self._failure: BaseException | None = None
        self._is_over = asyncio.Event()

    async def run(self) -> int:
        """Return the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        apps = [build_app(stage, self._settings, self._on_failure) for stage in self._stages]
        worker = self._settings[WorkerSettings]
        health = Health([app.runner for app in apps], self._metrics, worker.stalled_after_s)
        web = WebServer(health, self._metrics, host=worker.web_host, port=worker.web_port)
        try:
            await self._start(web, apps)
            await self._is_over.wait()
        finally:
            is_stopped = await self._stop(web, apps)
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
        if self._failure is not None:
            logger.critical("the worker ends after a failure: %r", self._failure)
        if not is_stopped:
            logging.shutdown()
            os._exit(1)  # threads of clients that do not end would keep the process for ever
        return 0 if self._failure is None else 1

    async def _start(self, web: WebServer, apps: list[StageApp]) -> None:
        try:
            await web.start()
            if self._on_web_port is not None:
                self._on_web_port(web.port)
            await asyncio.gather(*(app.start() for app in apps))
        except (KafkaError, OSError) as error:
            logger.critical("the worker cannot start: %s", error)
            self._on_failure(error)

    async def _stop(self, web: WebServer, apps: list[StageApp]) -> bool:
        """Stop everything; return whether it ended in time."""
        timeout_s = STOP_TIMEOUT_S if self._failure is None else CRASH_STOP_TIMEOUT_S
        ends = [asyncio.create_task(service.stop()) for service in (*apps, web) if service.started]
        if not ends:
            return True
        done, pending = await asyncio.wait(ends, timeout=timeout_s)
        for end in done:
            error = end.exception()
            if error is not None and self._failure is None:
                self._failure = error
        if pending:
            logger.error("%d of %d services did not stop within %g s", len(pending), len(ends), timeout_s)
        return not pending

    def _on_failure(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
        self._is_over.set()

    def _on_signal(self, number: signal.Signals) -> None:
        name = signal.Signals(number).name
        if self._is_over.is_set():
            logger.warning("%s again: leaving at once, what is not committed is done again later", name)
            logging.shutdown()
            os._exit(1)
        logger.info("%s: stopping", name)
        self._is_over.set()

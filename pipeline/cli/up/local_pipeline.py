"""The whole pipeline on one machine: broker, topics, a worker with all stages and the control service, as children."""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Final

import yaml

from pipeline.cli.up.worker_client import WorkerClient
from pipeline.factory import Settings
from pipeline.runtime.local.child_process import ChildFailedError, ChildProcess
from pipeline.runtime.local.embedded_broker import EmbeddedBroker
from pipeline.settings.model import PREFIX
from topics.admin import BrokerError, TopicAdmin
from topics.catalogue import load_topics
from topics.plan import plan, wanted_topics

PARTITIONS: Final = 4
STORE_NAME, HISTORY_NAME = "local", "history"
WORKER_START_TIMEOUT_S: Final = 120.0  # on a busy machine; the kernels are there
STOP_TIMEOUT_S: Final = 20.0
_SESSION_TIMEOUT_S: Final = 2.0  # the embedded broker forms a group after half of it
_CHECKPOINT_INTERVAL_S: Final = 5.0
_SHORTEST_GRACE_MS: Final = 1_000
_LONGEST_GRACE_MS: Final = 10_000
_POLL_S: Final = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalTiming:
    """The times of a local pipeline.

    Parameters
    ----------
    every_ms
        Size of a window.
    interval_ms
        Time between two measurements of the source.
    """

    every_ms: int
    interval_ms: int

    @property
    def grace_ms(self) -> int:
        """How long a window waits for late samples: a fifth of it, from 1 s to 10 s."""
        return min(max(self.every_ms // 5, _SHORTEST_GRACE_MS), _LONGEST_GRACE_MS)

    @property
    def idle_close_ms(self) -> int:
        """After how much silence the clock closes windows: not while the next measurement may still come."""
        return max(self.grace_ms, 2 * self.interval_ms)

    @property
    def close_ms(self) -> int:
        """How long it takes at most from a sample until its window is closed, when nothing follows."""
        return self.every_ms + self.grace_ms + self.idle_close_ms


def local_settings(
    timing: LocalTiming, *, bootstrap_servers: str, web_port: int, control_port: int, directory: Path
) -> dict[str, dict[str, Any] | list[dict[str, Any]]]:
    """Return the worker's settings as they stand in its file.

    Parameters
    ----------
    timing
        Of windows and source.
    bootstrap_servers
        The broker.
    web_port, control_port
        Where the worker and the control service answer.
    directory
        Where the files of the embedded stores and of the control service are.

    Raises
    ------
    pydantic.ValidationError
        If a time is out of bounds.
    """
    settings: dict[str, Any] = {
        "kafka": {"bootstrap_servers": bootstrap_servers, "session_timeout_s": _SESSION_TIMEOUT_S},
        "windows": {
            "every_s": timing.every_ms / 1000,
            "grace_s": timing.grace_ms / 1000,
            "idle_close_s": timing.idle_close_ms / 1000,
        },
        "stores": [
            {"name": STORE_NAME, "kind": "embedded", "path": str(windows_path(directory).absolute())},
            {
                "name": HISTORY_NAME,
                "kind": "embedded",
                "role": "integrated",
                "path": str(history_path(directory).absolute()),
            },
        ],
        "control": {"web_port": control_port, "database_file": str((directory / "control.db").absolute())},
        "worker": {
            "web_host": "127.0.0.1",
            "web_port": web_port,
            "checkpoint_interval_s": _CHECKPOINT_INTERVAL_S,
        },
    }
    Settings(**settings)
    return settings


def windows_path(directory: Path) -> Path:
    """Return the file of the store of windows."""
    return directory / "windows.db"


def history_path(directory: Path) -> Path:
    """Return the file of the integrated store: compressed history, anomalies and alerts."""
    return directory / "history.db"


class LocalPipeline:
    """Broker, worker and control service as children of this process.

    Parameters
    ----------
    directory
        Where the embedded stores, the worker's settings and the logs go; must be there.
    timing
        Of windows and source.
    web_port, control_port
        Where the worker and the control service answer; must be free.
    policies
        The file of policies that the control service begins with.

    Notes
    -----
    A directory serves one pipeline at a time. The stores outlive it; the broker's records do not, and a new broker
    counts offsets from 0 again: a window that two runs share stays as the run with the greater offsets wrote it.
    """

    def __init__(
        self, directory: Path, timing: LocalTiming, *, web_port: int, control_port: int, policies: Path
    ) -> None:
        self.store_path = windows_path(directory)
        self.history_path = history_path(directory)
        self.worker_log = directory / "worker.log"
        self.web_port = web_port
        self.control_port = control_port
        self._directory = directory
        self._policies = policies
        self.client = WorkerClient(web_port)
        self._settings_path = directory / "worker.yaml"
        self._timing = timing
        self._broker = EmbeddedBroker(directory / "broker.log")
        self._worker: ChildProcess | None = None
        self._control: ChildProcess | None = None

    @property
    def bootstrap_servers(self) -> str:
        """The broker's address, once it is started."""
        return self._broker.bootstrap_servers

    def broker_memory_bytes(self) -> int:
        """Return the memory that the broker holds."""
        return self._broker.memory_bytes()

    def start(self) -> None:
        """Start the broker, make the topics, start worker and control service; call it from the main thread.

        Raises
        ------
        ChildFailedError
            If one of them cannot be started; what was started is stopped.
        """
        try:
            self._broker.start()
            self._make_topics()
            self._write_settings()
            self._worker = self._start_child("worker", self.worker_log)
            log = self._directory / "control.log"
            self._control = self._start_child("control", log, "--load", str(self._policies))
        except BaseException:
            self.kill()
            raise

    def wait_until_ready(self, stop: Event, *, on_wait: Callable[[], None]) -> bool:
        """Return True when the worker is ready, False when ``stop`` was set before.

        Parameters
        ----------
        stop
            Ends the waiting.
        on_wait
            Called about ten times a second.

        Raises
        ------
        ChildFailedError
            If a child ends, or the worker is not ready in time.
        """
        deadline_s = time.monotonic() + WORKER_START_TIMEOUT_S
        while not stop.is_set():
            self.raise_if_ended()
            if self.client.is_ready():
                return True
            if time.monotonic() >= deadline_s and self._worker is not None:
                raise self._worker.failure(f"was not ready within {WORKER_START_TIMEOUT_S:.0f} s")
            on_wait()
            stop.wait(_POLL_S)
        return False

    def raise_if_ended(self) -> None:
        """Raise `ChildFailedError` if one of them has ended by itself."""
        for child in (self._worker, self._control):
            if child is not None:
                child.raise_if_ended()
        self._broker.raise_if_ended()

    def stop(self) -> None:
        """Stop the worker and the control service, then the broker; what does not end in time is killed.

        Raises
        ------
        ChildFailedError
            If one of the two ended with a failure; the others are stopped all the same.
        """
        children = [child for child in (self._worker, self._control) if child is not None]
        self._worker = self._control = None
        try:
            ended = [(child, child.stop(STOP_TIMEOUT_S)) for child in children]
        finally:
            self._broker.stop()
        for child, status in ended:
            # SIGTERM: it had not come to the point of minding it
            if status not in {0, -signal.SIGTERM}:
                raise child.failure(f"did not end cleanly (status {status})")

    def kill(self) -> None:
        """End all at once: nothing is finished, and the store is as the last write left it."""
        for child in (self._worker, self._control):
            if child is not None:
                child.kill()
        self._worker = self._control = None
        self._broker.stop()

    def _make_topics(self) -> None:
        wanted = wanted_topics(load_topics(), partitions=PARTITIONS)
        try:
            admin = TopicAdmin({"bootstrap.servers": self.bootstrap_servers})
            admin.apply(plan(admin.read([topic.name for topic in wanted]), wanted))
        except BrokerError as error:
            raise ChildFailedError(f"the topics cannot be made on the embedded broker: {error}") from error

    def _write_settings(self) -> None:
        settings = local_settings(
            self._timing,
            bootstrap_servers=self.bootstrap_servers,
            web_port=self.web_port,
            control_port=self.control_port,
            directory=self._directory,
        )
        try:
            self._settings_path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        except OSError as error:
            raise ChildFailedError(f"the settings cannot be written: {error}") from error

    def _start_child(self, name: str, log: Path, *options: str) -> ChildProcess:
        # -P: a folder named pipeline in the current directory is not ours
        command = [sys.executable, "-P", "-m", "pipeline", name, "--config", str(self._settings_path), *options]
        try:
            return ChildProcess(name, command, log=log, environment=_without_settings(os.environ))
        except OSError as error:
            raise ChildFailedError(f"the {name} cannot be started: {error}") from error


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without ``CINNAMON_*``: it would win over the file, and is meant for other workers."""
    return {name: value for name, value in environment.items() if not name.upper().startswith(PREFIX)}

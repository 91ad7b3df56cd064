"""A real worker under measurement: ready and idle before its messages are laid before it."""

import http.client
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil
from prometheus_client.parser import text_string_to_metric_families

from bench.broker import Broker
from bench.waiting import wait_until
from pipeline.runtime.local.child_process import ChildProcess
from pipeline.runtime.local.embedded_broker import free_port

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 50.0


class Worker:
    """A running worker."""

    def __init__(self, process: ChildProcess, port: int) -> None:
        self._process = process
        self._port = port

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def is_running(self) -> bool:
        """Return whether it has not ended."""
        return self._process.is_running()

    def is_ready(self) -> bool:
        """Return whether it has its partitions and has caught up."""
        return self._get("/readyz") is not None

    def total(self, name: str) -> float | None:
        """Return the sum of a metric over its labels, 0 before it has one; None while nobody answers."""
        text = self._get("/metrics")
        if text is None:
            return None
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return sum(sample.value for sample in samples if sample.name == f"cinnamon_{name}")

    def is_idle(self) -> bool:
        """Return whether it answers, and no record waits for it."""
        return self.total("lag_records") == 0

    def cpu_s(self) -> float:
        """Return the CPU that it spent so far, user and system."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def wait_for(self, name: str, least: float, timeout_s: float) -> None:
        """Return when the sum of a metric is at least this."""
        wait_until(
            lambda: (self.total(name) or 0.0) >= least,
            timeout_s=timeout_s,
            what=f"{name} of {least:,.0f}",
            alive=self.is_running,
        )

    def _get(self, path: str) -> str | None:
        try:
            with urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except (URLError, OSError, http.client.HTTPException):
            return None


@contextmanager
def worker(
    broker: Broker, directory: Path, *, stages: str, settings: Mapping[str, str] | None = None
) -> Iterator[Worker]:
    """Run a worker until the end of a measurement; it is ready.

    Parameters
    ----------
    broker
        Where its topics are.
    directory
        Where its log goes; made when absent.
    stages
        What it runs.
    settings
        Environment variables beside those that every measurement has.

    Raises
    ------
    RuntimeError
        When it does not get ready.
    """
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "pipeline", "worker", f"--stages={stages}", f"--web-port={port}"]
    environment = {
        **os.environ,
        # it is stopped while messages are produced, and must not lose its partitions
        "CINNAMON_KAFKA__SESSION_TIMEOUT_S": "300",
        "CINNAMON_KAFKA__HEARTBEAT_INTERVAL_S": "3",
        **(settings or {}),
    }
    command.append(f"--bootstrap={broker.bootstrap_servers}")
    process = ChildProcess("worker", command, log=directory / "worker.log", environment=environment)
    running = Worker(process, port)
    try:
        try:
            wait_until(running.is_ready, timeout_s=START_TIMEOUT_S, what="a ready worker", alive=running.is_running)
        except TimeoutError as error:
            raise RuntimeError(f"{error}:\n{process.log_tail()}") from error
        yield running
    finally:
        process.stop(STOP_TIMEOUT_S)

"""A worker of a test's own stage, as a process."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from pipeline.runtime.local.child_process import tied_command
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.kafka import KafkaBroker
from tests.support.servers.process import REPOSITORY
from tests.support.waiting import wait_until

Broker = KafkaBroker | EmbeddedBroker


class WorkerProcess:
    """A running program of this folder, with its lines as they come."""

    def __init__(
        self, bootstrap_servers: str, topic: str, mode: str, directory: Path, program: str = "worker_program"
    ) -> None:
        self.lines: list[str] = []
        self.log = directory / "worker.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                tied_command(
                    [sys.executable, "-m", f"tests.support.runtime.{program}", bootstrap_servers, topic, mode]
                ),
                cwd=REPOSITORY,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            self.lines.extend(line.strip() for line in iter(lines.readline, ""))

    def wait_for(self, line: str) -> str:
        def found() -> str | None:
            return next((each for each in list(self.lines) if each.startswith(line)), None)

        def alive() -> bool:
            return self.process.poll() is None

        return wait_until(found, timeout_s=60, what=f"{line!r} of the worker", alive=alive) or ""

    def ends(self, timeout_s: float) -> int:
        status = self.process.wait(timeout_s)
        self._reader.join()
        return status

    def get(self, path: str) -> tuple[int, str]:
        port = self.wait_for("port").split()[1]
        try:
            with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def log_records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def worker(
    broker: Broker | str, topic: str, mode: str, directory: Path, program: str = "worker_program"
) -> Iterator[WorkerProcess]:
    """Run a program until the end of a test."""
    bootstrap_servers = broker if isinstance(broker, str) else broker.bootstrap_servers
    process = WorkerProcess(bootstrap_servers, topic, mode, directory, program)
    try:
        yield process
    finally:
        process.process.kill()
        process.ends(10)

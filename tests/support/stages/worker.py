"""A worker as an operator runs it: a process with a settings file, looked at through its web port, ended by signals."""

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.servers.process import ServerProcess
from tests.support.waiting import wait_until

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 50.0
_WEB_PORT = re.compile(r"metrics and health on http://[^\s:]+:(\d+)")


@dataclass(frozen=True)
class Sample:
    """One number of ``/metrics``."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Scrape:
    """What ``/metrics`` said at one moment."""

    samples: Mapping[str, list[Sample]] = field(default_factory=dict)

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over all label sets that have these values; ``name`` without ``cinnamon_``."""
        return sum(
            sample.value
            for sample in self.samples.get(f"cinnamon_{name}", [])
            if all(sample.labels.get(key) == value for key, value in labels.items())
        )

    def by(self, label: str, name: str, **labels: str) -> Counter[str]:
        """Return the sums by the values of one label, those that are not 0."""
        sums: Counter[str] = Counter()
        for sample in self.samples.get(f"cinnamon_{name}", []):
            if sample.value and all(sample.labels.get(key) == value for key, value in labels.items()):
                sums[sample.labels[label]] += int(sample.value)
        return sums


class Worker:
    """One worker that a test starts, stops and kills; a later start is a new process with the same settings.

    Parameters
    ----------
    directory
        Where its settings and its logs go; made when absent.
    settings
        The document of its settings file.
    stages
        What it runs.
    """

    def __init__(self, directory: Path, settings: Mapping[str, Any], stages: str = "aggregate") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.settings_file = directory / "settings.yaml"
        self.settings_file.write_text(yaml.safe_dump(dict(settings)))
        self.settings = settings
        self._stages = stages
        self._starts = 0
        self._process: ServerProcess | None = None
        self._web_port = 0

    def start(self) -> "Worker":
        """Start a process, and return when its web port answers."""
        assert self._process is None, "this worker runs already"
        self._starts += 1
        options = [
            "--config",
            str(self.settings_file),
            "--bootstrap",
            str(self.settings["kafka"]["bootstrap_servers"]),
            "--web-port",
            "0",
        ]
        command = [sys.executable, "-m", "pipeline", "worker", "--stages", self._stages, *options]
        self._process = ServerProcess(command, self.directory / f"worker-{self._starts}.log")
        self._web_port = int(self._waited(self._port_in_log, START_TIMEOUT_S, "the worker's web port"))
        return self

    def ready(self) -> "Worker":
        """Return when the worker has its partitions and has caught up."""
        self._waited(lambda: self.get("/readyz")[0] == 200, START_TIMEOUT_S, "/readyz")
        return self

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self._process is not None and self._process.is_running()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None, "this worker does not run"
        return self._process.pid

    def log(self) -> str:
        """Return what all processes of this worker logged."""
        files = [self.directory / f"worker-{number + 1}.log" for number in range(self._starts)]
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def get(self, path: str) -> tuple[int, str]:
        """Ask the web port; the status is 0 while nobody answers."""
        try:
            with urlopen(f"http://127.0.0.1:{self._web_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (URLError, OSError):
            return 0, ""

    def scrape(self) -> Scrape:
        """Read ``/metrics``; it is empty while nobody answers."""
        status, text = self.get("/metrics")
        samples: dict[str, list[Sample]] = {}
        if status == 200:
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    samples.setdefault(sample.name, []).append(Sample(sample.labels, sample.value))
        return Scrape(samples)

    def wait_for(self, condition: Any, what: str, timeout_s: float = 60.0) -> Scrape:
        """Return the first metrics of which ``condition`` is true."""

        def met() -> Scrape | None:
            scrape = self.scrape()
            return scrape if condition(scrape) else None

        found = self._waited(met, timeout_s, what)
        assert isinstance(found, Scrape)
        return found

    def stop(self) -> None:
        """End the worker with SIGTERM; it must flush, commit and say that it ended well, and never have failed."""
        process, self._process = self._process, None
        assert process is not None, "this worker does not run"
        was_running = process.is_running()
        status = process.stop(STOP_TIMEOUT_S)
        assert was_running, f"the worker had ended before:\n{process.log_tail()}"
        assert status == 0, f"the worker ended with status {status}:\n{process.log_tail()}"
        assert "Traceback" not in self.log(), self.log()

    def kill(self) -> None:
        """End the worker as a crash does (SIGKILL)."""
        process, self._process = self._process, None
        assert process is not None, "this worker does not run"
        assert process.is_running(), f"the worker had ended before:\n{process.log_tail()}"
        process.kill()

    def send_signal(self, number: int) -> None:
        """Send the process a signal, and go on."""
        assert self._process is not None, "this worker does not run"
        os.kill(self._process.pid, number)

    def discard(self) -> None:
        """End what may still run, at the end of a test that failed."""
        if self._process is not None:
            self._process.kill()

    def _port_in_log(self) -> str | None:
        assert self._process is not None
        found = _WEB_PORT.search(self._process.log.read_text(errors="replace"))
        return found[1] if found else None

    def _waited(self, condition: Any, timeout_s: float, what: str) -> Any:
        process = self._process
        assert process is not None, "this worker does not run"
        try:
            return wait_until(condition, timeout_s=timeout_s, what=what, every_s=0.05, alive=process.is_running)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{process.log_tail()}") from error


@contextmanager
def running(worker: Worker) -> Iterator[Worker]:
    """Run a worker for a test; at its end it is stopped cleanly, unless the test has done so."""
    try:
        worker.start()
        yield worker
        if worker.is_running:
            worker.stop()
    finally:
        worker.discard()

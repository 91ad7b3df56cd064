"""What the servers of the tests have in common: where they lie, who may start one, free ports, start and end."""

import atexit
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from pipeline.runtime.local.child_process import tied_command

T = TypeVar("T")

REPOSITORY = Path(__file__).resolve().parents[3]
TOOLS = REPOSITORY / ".tools"
PARTS = REPOSITORY / "tests" / "real" / "parts"
LOG_TAIL_BYTES = 4000


_permitted = True


def permit_servers(*, permitted: bool) -> None:
    """Say whether the test that runs now may start servers: those of the fast tier may not."""
    global _permitted  # noqa: PLW0603  one test runs at a time
    _permitted = permitted


class PartMissingError(RuntimeError):
    """A real part is not built; its text says how to get it."""


def require_part(path: Path) -> Path:
    """Return the path of a built part.

    Raises
    ------
    PartMissingError
        When it is not there.
    """
    if not path.exists():
        raise PartMissingError(f"{path.relative_to(REPOSITORY)} is not built: run `make real-parts`")
    return path


def made_or_skipped(make: Callable[[], T]) -> T:
    """Return what ``make`` returns; where a real part is missing skip the test, or fail when it must be there."""
    try:
        return make()
    except PartMissingError as error:
        if os.environ.get("CINNAMON_REQUIRE_REAL") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))


def free_ports(count: int) -> list[int]:
    """Return that many different TCP ports of the loopback address, free at this moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class ServerProcess:
    """One server as a child process in its own process group, its output in a log file; it ends with this one.

    Parameters
    ----------
    command
        The program and its arguments.
    log
        The file that its standard output and error are added to.
    environment
        Variables beside those of this process.

    Raises
    ------
    RuntimeError
        In a test without the marker ``server``.
    """

    def __init__(self, command: list[str], log: Path, environment: dict[str, str] | None = None) -> None:
        if not _permitted:
            raise RuntimeError("a test without the marker `server` starts a server (see SERVERS in tests/conftest.py)")
        program = shutil.which(command[0]) or command[0]
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                tied_command([program, *command[1:]]),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        atexit.register(self.kill)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def is_running(self) -> bool:
        """Return whether the process has not ended."""
        return self._process.poll() is None

    def stop(self, timeout_s: float = 20.0) -> int:
        """Ask the process to end (SIGTERM), kill it after the deadline, and return its exit status."""
        if self.is_running():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                return self.kill()
        return self._process.wait()

    def kill(self) -> int:
        """End the process at once (SIGKILL) with all it started, and return its exit status."""
        if self.is_running():
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()

    def log_tail(self) -> str:
        """Return the end of the log."""
        content = self.log.read_bytes() if self.log.exists() else b""
        return content[-LOG_TAIL_BYTES:].decode(errors="replace")

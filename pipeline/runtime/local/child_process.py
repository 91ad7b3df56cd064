"""Programs that a process runs for itself: output in a log file, gone when the process is gone."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

LOG_TAIL_BYTES: Final = 4000
LOG_TAIL_LINES: Final = 20
_TIED_EXEC: Final = Path(__file__).with_name("tied_exec.py")


def tied_command(command: Sequence[str]) -> list[str]:
    """Return the command line that runs a program which ends with this process; elsewhere than on Linux, as it was.

    Parameters
    ----------
    command
        The program's path and its arguments.

    Notes
    -----
    The kernel kills the program when the thread that started it ends, be it by SIGKILL: start it from the main thread.
    A program that changes its user must ask for that again.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", str(_TIED_EXEC), str(os.getpid()), *command]


class ChildFailedError(RuntimeError):
    """A child did not start or ended by itself; the text says which and how, with the end of its log."""


class ChildProcess:
    """A running child in a session of its own, so that a terminal's Ctrl-C reaches this process alone.

    Parameters
    ----------
    name
        What it is called in messages.
    command
        The program's path and its arguments.
    log
        The file for its output, emptied first.
    environment
        All of its environment variables.

    Raises
    ------
    OSError
        If the program cannot be started or the log cannot be written.

    Notes
    -----
    On Linux the child is tied (see `tied_command`). Elsewhere a parent that is killed leaves it behind; every other
    end stops it.
    """

    def __init__(self, name: str, command: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(  # noqa: S603  a list of ours, no shell
                tied_command(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def is_running(self) -> bool:
        """Return whether it has not ended."""
        return self._process.poll() is None

    def raise_if_ended(self) -> None:
        """Raise `ChildFailedError` if the child has ended."""
        status = self._process.poll()
        if status is not None:
            raise self.failure(_ending(status))

    def failure(self, what: str) -> ChildFailedError:
        """Return an error that says what became of the child, with the end of its log."""
        tail = self.log_tail()
        said = f"; the end of {self.log}:\n{tail}" if tail else f"; {self.log} is empty"
        return ChildFailedError(f"the {self.name} {what}{said}")

    def stop(self, timeout_s: float) -> int:
        """Ask the child to end with SIGTERM, kill it after so many seconds, and return its exit status."""
        if self.is_running():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                return self.kill()
        return self._process.wait()

    def kill(self) -> int:
        """End the child at once, with all it started, and return its exit status."""
        if self.is_running():
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()

    def memory_bytes(self) -> int:
        """Return the memory that it holds (resident set size); 0 once it has ended."""
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def log_tail(self) -> str:
        """Return the last lines of the log, at most 20 of them and 4000 bytes."""
        with self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - LOG_TAIL_BYTES, 0))
            lines = file.read().decode(errors="replace").strip().splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:])


def _ending(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with exit status {status}"

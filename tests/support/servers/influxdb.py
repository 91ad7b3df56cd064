"""A real InfluxDB 2 server, set up with one organisation, one bucket and one token."""

import csv
import io
from pathlib import Path

import httpx

from tests.support.servers.process import TOOLS, ServerProcess, free_ports, require_part
from tests.support.waiting import wait_until

START_TIMEOUT_S = 30.0
ORGANISATION = "cinnamon"
BUCKET = "metrics"
TOKEN = "token-of-the-tests"  # noqa: S105  a server of this test run alone, on the loopback address


class InfluxDB:
    """A server that a test starts, stops, kills and starts again, with its data kept.

    Parameters
    ----------
    directory
        Where its log and its data go; made when absent.
    """

    org = ORGANISATION
    bucket = BUCKET
    token = TOKEN

    def __init__(self, directory: Path) -> None:
        self._binary = require_part(TOOLS / "bin" / "influxd")
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        (self.port,) = free_ports(1)
        self._process: ServerProcess | None = None

    @property
    def url(self) -> str:
        """The server's address, ``http://host:port``."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "InfluxDB":
        """Start the server on the data that it has, set it up when it is new, and return it."""
        if self._process is not None:
            raise RuntimeError("this InfluxDB runs already")
        folder = self.directory
        process = ServerProcess(
            [
                str(self._binary),
                f"--http-bind-address=127.0.0.1:{self.port}",
                f"--bolt-path={folder / 'influxd.bolt'}",
                f"--sqlite-path={folder / 'influxd.sqlite'}",
                f"--engine-path={folder / 'engine'}",
                "--reporting-disabled",
                "--log-level=warn",
            ],
            folder / "influxd.log",
        )
        self._process = process
        try:
            wait_until(self._is_healthy, timeout_s=START_TIMEOUT_S, what="InfluxDB", alive=process.is_running)
        except TimeoutError as error:
            self.kill()
            raise RuntimeError(f"InfluxDB did not start:\n{process.log_tail()}") from error
        if httpx.get(f"{self.url}/api/v2/setup").json()["allowed"]:
            self._set_up()
        return self

    def stop(self) -> None:
        """Stop the server cleanly; without one running, do nothing."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """End the server at once, as a crash does (SIGKILL)."""
        if self._process is None:
            raise RuntimeError("this InfluxDB does not run")
        self._process.kill()
        self._process = None

    def create_bucket(self, name: str) -> str:
        """Create a bucket that keeps everything, and return its name."""
        found = httpx.get(f"{self.url}/api/v2/orgs", params={"org": self.org}, headers=self._headers())
        organisation_id = found.raise_for_status().json()["orgs"][0]["id"]
        body = {"orgID": organisation_id, "name": name, "retentionRules": []}
        httpx.post(f"{self.url}/api/v2/buckets", json=body, headers=self._headers()).raise_for_status()
        return name

    def write(self, lines: bytes, *, bucket: str = BUCKET) -> None:
        """Write line protocol with nanosecond timestamps."""
        place = {"org": self.org, "bucket": bucket, "precision": "ns"}
        answer = httpx.post(f"{self.url}/api/v2/write", params=place, content=lines, headers=self._headers())
        answer.raise_for_status()

    def query(self, flux: str) -> list[dict[str, str]]:
        """Return the rows that a Flux query finds, each value as text, all tables one after the other."""
        headers = {**self._headers(), "Content-Type": "application/vnd.flux", "Accept": "application/csv"}
        url = f"{self.url}/api/v2/query"
        answer = httpx.post(url, params={"org": self.org}, content=flux.encode(), headers=headers, timeout=60.0)
        answer.raise_for_status()
        # Tables with different columns are separated by an empty line, each with its own header.
        blocks = answer.text.replace("\r\n", "\n").strip("\n").split("\n\n")
        return [row for block in blocks for row in csv.DictReader(io.StringIO(block))]

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Token {self.token}"}

    def _is_healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=1.0).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _set_up(self) -> None:
        body = {
            "username": "operator",
            "password": "password-of-the-tests",
            "org": self.org,
            "bucket": self.bucket,
            "token": self.token,
            "retentionPeriodSeconds": 0,
        }
        httpx.post(f"{self.url}/api/v2/setup", json=body, timeout=30.0).raise_for_status()

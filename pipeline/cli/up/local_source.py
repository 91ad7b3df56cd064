"""What feeds a local pipeline: a simulated fleet or this machine's metrics, sent from a thread of this process."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final, TextIO

from pipeline.sources.fleet.fleet import Fleet
from pipeline.sources.host import collect, local_identity
from pipeline.sources.kafka_output import Delivery, KafkaOutput, Pace
from topics import METRICS_RAW

if TYPE_CHECKING:
    from pipeline.sources.base import RawRecord
    from pipeline.sources.fleet.incidents import Incident

DELIVERY_TIMEOUT_S: Final = 5.0
_RECENT_INCIDENTS: Final = 100


class LocalSource:
    """Sends metrics to a broker on this machine until it is stopped.

    Parameters
    ----------
    hosts
        Size of the simulated fleet; none: this machine's own metrics.
    interval_ms
        Time between two measurements.
    seed
        Of the fleet.
    truth
        Where incidents are written as they begin, a JSON object a line; open for writing.
    """

    def __init__(self, *, hosts: int | None, interval_ms: int, seed: int, truth: TextIO) -> None:
        self.incidents: tuple[Incident, ...] = ()
        """The newest incidents, the oldest first; replaced and never changed, as another thread reads it."""
        self.incident_count = 0
        self._hosts = hosts
        self._interval_ms = interval_ms
        self._seed = seed
        self._truth = truth
        self._stop = Event()
        self._output: KafkaOutput | None = None
        self._thread = ThreadPoolExecutor(1, "source")
        self._sending: Future[Delivery] | None = None

    @property
    def delivery(self) -> Delivery:
        """How far the sending has come."""
        return Delivery() if self._output is None else self._output.delivery

    def start(self, bootstrap_servers: str) -> None:
        """Begin to send."""
        connection = {"bootstrap.servers": bootstrap_servers, "client.id": "cinnamon-up"}
        self._output = KafkaOutput(METRICS_RAW, connection, stop=self._stop, delivery_timeout_s=DELIVERY_TIMEOUT_S)
        now_ms = time.time_ns() // 1_000_000
        batches = self._of_this_machine() if self._hosts is None else self._of_fleet(self._hosts, now_ms)
        self._sending = self._thread.submit(self._output.send, batches, Pace())

    def raise_if_failed(self) -> None:
        """Raise what ended the sending, if anything did."""
        if self._sending is not None and self._sending.done():
            self._sending.result()

    def stop(self) -> Delivery:
        """End the sending, wait until what was sent is delivered, and return the counts; a second call does nothing."""
        self._stop.set()
        self._thread.shutdown()
        self.raise_if_failed()
        return self.delivery

    def _of_fleet(self, hosts: int, now_ms: int) -> Iterator[list["RawRecord"]]:
        # on the whole second before: a grid of ten seconds would make all samples up to ten seconds old
        start_ms = now_ms - now_ms % min(self._interval_ms, 1000)
        return iter(Fleet(hosts, self._seed, start_ms, self._interval_ms, on_incident=self._note))

    def _of_this_machine(self) -> Iterator[list["RawRecord"]]:
        identity, times = local_identity(), None
        while not self._stop.is_set():
            now_ms = time.time_ns() // 1_000_000
            messages, times = collect(now_ms, times, identity)
            yield messages
            next_ms = now_ms - now_ms % self._interval_ms + self._interval_ms
            self._stop.wait(max(next_ms / 1000 - time.time(), 0.0))

    def _note(self, incident: "Incident") -> None:
        self._truth.write(json.dumps(incident.as_truth()) + "\n")
        self._truth.flush()
        self.incidents = (*self.incidents, incident)[-_RECENT_INCIDENTS:]
        self.incident_count += 1


def open_truth(path: Path, *, keep: bool) -> TextIO:
    """Return the file for incidents, open for writing.

    Parameters
    ----------
    path
        Where it is.
    keep
        Whether what is in it stays.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    return path.open("a" if keep else "w", encoding="utf-8")

"""What feeds a local pipeline: a source, sent from a thread of this process."""

import json
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final, TextIO

from pipeline.sources.base import SourceOptions
from pipeline.sources.factory import SOURCES
from pipeline.sources.kafka_output import Delivery, KafkaOutput, Pace
from topics import METRICS_RAW

if TYPE_CHECKING:
    from pipeline.sources.fleet.incidents import Incident

DELIVERY_TIMEOUT_S: Final = 5.0
_RECENT_INCIDENTS: Final = 100


class LocalSource:
    """Sends metrics to a broker on this machine until it is stopped.

    Parameters
    ----------
    name
        Which source, of `SOURCES`.
    options
        What it is opened with; it starts when it is started, and its incidents are noted here.
    truth
        Where incidents are written as they begin, a JSON object a line; open for writing.
    """

    def __init__(self, name: str, options: SourceOptions, truth: TextIO) -> None:
        self.incidents: tuple[Incident, ...] = ()
        """The newest incidents, the oldest first; replaced and never changed, as another thread reads it."""
        self.incident_count = 0
        self.title = SOURCES[name].title(options)
        self._name = name
        self._options = options
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
        # on the whole second before: a grid of ten seconds would make all samples up to ten seconds old
        start_ms = now_ms - now_ms % min(self._options.interval_ms, 1000)
        source = SOURCES[self._name].open(replace(self._options, start_ms=start_ms, on_incident=self._note))
        self._sending = self._thread.submit(self._output.send, source.batches(self._stop), Pace())

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

"""Work beside the API: loops in threads, that wait out an outage and end the process on a bug."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from confluent_kafka import KafkaException
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pipeline.runtime.kafka.producer import DeliveryError, FlushTimeoutError
from pipeline.runtime.kafka.topic_reader import TopicReadError

logger = logging.getLogger(__name__)

OUTAGE_PAUSE_S: Final = 1.0
OUTAGES: Final = (
    DeliveryError,
    FlushTimeoutError,
    InterfaceError,
    KafkaException,
    OperationalError,
    PoolTimeoutError,
    TopicReadError,
)
"""Kafka or the database is away: the same is tried again."""


class BackgroundLoop:
    """Calls a step again and again in a thread.

    Parameters
    ----------
    name
        What it does, for the log.
    step
        One round; it says how many seconds to wait before the next, unless it is woken.
    on_end
        Called when the loop ended without being asked to: a bug.
    close
        Called at the end, in the thread.
    """

    def __init__(
        self, name: str, step: Callable[[], float], on_end: Callable[[], None], close: Callable[[], None]
    ) -> None:
        self._name = name
        self._step = step
        self._on_end = on_end
        self._close = close
        self._woken = threading.Event()
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Do not wait any longer."""
        self._woken.set()

    def stop(self, timeout_s: float) -> None:
        """End after the step that is being done."""
        self._is_stopped.set()
        self._woken.set()
        self._thread.join(timeout_s)

    def is_alive(self) -> bool:
        """Return whether it goes on."""
        return self._thread.is_alive()

    def _run(self) -> None:
        is_failing = False
        try:
            while not self._is_stopped.is_set():
                self._woken.clear()
                try:
                    pause_s = self._step()
                    is_failing = False
                except OUTAGES as error:
                    if not is_failing:
                        logger.warning("%s waits: %s", self._name, _first_line(error))
                    is_failing, pause_s = True, OUTAGE_PAUSE_S
                if not self._is_stopped.is_set():
                    self._woken.wait(pause_s)
        finally:
            self._close()
            if not self._is_stopped.is_set():
                self._on_end()


def _first_line(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return str(cause).partition("\n")[0][:500]

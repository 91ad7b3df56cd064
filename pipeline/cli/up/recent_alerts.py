"""What alerts ``cinnamon up`` shows: those that are worth telling, the newest of them."""

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pipeline.runtime.kafka.alert_table import AlertTable
    from schemas.alert import AlertEvent

MOST_SHOWN: Final = 200
MOST_READ: Final = 1000
"""At a time."""
_START_TIMEOUT_S: Final = 10.0


class RecentAlerts:
    """Follows the topic ``alerts`` of a broker on this machine."""

    def __init__(self) -> None:
        self._log: AlertTable | None = None
        self._notified: deque[AlertEvent] = deque(maxlen=MOST_SHOWN)

    def start(self, bootstrap_servers: str) -> None:
        """Begin.

        Raises
        ------
        AlertTableError
            When the broker does not answer.
        """
        from pipeline.runtime.kafka.alert_table import AlertTable
        from pipeline.runtime.kafka.settings import KafkaSettings

        self._log = AlertTable(KafkaSettings(bootstrap_servers=bootstrap_servers), "up")
        self._log.start({}, _START_TIMEOUT_S)

    def read(self) -> "tuple[AlertEvent, ...]":
        """Return the newest that are worth telling, the oldest first."""
        from schemas.alert import AlertEvent

        for record in [] if self._log is None else self._log.take(MOST_READ):
            event = AlertEvent.model_validate_json(record.value)
            if event.notify:
                self._notified.append(event)
        return tuple(self._notified)

    def close(self) -> None:
        """End; a second call does nothing."""
        if self._log is not None:
            self._log.close()
            self._log = None

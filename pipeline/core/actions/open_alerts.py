"""The alerts that are open, from their events."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from schemas.alert import AlertEvent, AlertState

__all__ = ["OpenAlert", "OpenAlerts"]


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that is not over.

    Attributes
    ----------
    event : AlertEvent
        The newest of it.
    opened_sequence : int
        Number of the event that it began with.
    level_sequence, level_ms : int
        Number and time of the event that it has had its level since.
    """

    event: AlertEvent
    opened_sequence: int
    level_sequence: int
    level_ms: int

    @property
    def alert_id(self) -> str:
        """What identifies it."""
        return self.event.alert_id


class OpenAlerts:
    """Open alerts by id.

    Notes
    -----
    Events are written at least once: one that is neither later nor of a greater number than the newest of its alert
    changes nothing. (An alert that was forgotten begins with number 1 again, and later.)

    Parameters
    ----------
    alerts
        Those that are open, after a restart.
    newest
        Then what `newest` was.
    """

    def __init__(self, alerts: Iterable[OpenAlert] = (), newest: Iterable[tuple[str, int, int]] = ()) -> None:
        self._open = {alert.alert_id: alert for alert in alerts}
        self._newest = {alert_id: (sequence, time_ms) for alert_id, sequence, time_ms in newest}

    def __iter__(self) -> Iterator[OpenAlert]:
        return iter(self._open.values())

    def __len__(self) -> int:
        return len(self._open)

    @property
    def newest(self) -> list[tuple[str, int, int]]:
        """Of each alert, open or over, the number and time of its newest event."""
        return [(alert_id, *newest) for alert_id, newest in self._newest.items()]

    def get(self, alert_id: str) -> OpenAlert | None:
        """Return an alert, None if it is not open."""
        return self._open.get(alert_id)

    def take(self, event: AlertEvent) -> bool:
        """Take an event; return whether it was new."""
        sequence, time_ms = self._newest.get(event.alert_id, (0, event.time_ms - 1))
        if event.sequence <= sequence and event.time_ms <= time_ms:
            return False
        self._newest[event.alert_id] = event.sequence, event.time_ms
        after = _after(self._open.pop(event.alert_id, None), event)
        if after is not None:
            self._open[event.alert_id] = after
        return True

    def forget(self, before_ms: int) -> None:
        """Forget alerts that are over and whose newest event is older: their events must not come again.

        Parameters
        ----------
        before_ms
            Event time, in milliseconds since 1970.
        """
        self._newest = {
            alert: newest for alert, newest in self._newest.items() if alert in self._open or newest[1] >= before_ms
        }


def _after(before: OpenAlert | None, event: AlertEvent) -> OpenAlert | None:
    if event.level is None and event.state is not AlertState.FLAPPING:
        return None
    if before is None:
        return OpenAlert(event, event.sequence, event.sequence, event.time_ms)
    if before.event.level == event.level:
        return OpenAlert(event, before.opened_sequence, before.level_sequence, before.level_ms)
    return OpenAlert(event, before.opened_sequence, event.sequence, event.time_ms)

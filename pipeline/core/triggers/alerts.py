"""The alerts that there are: which policy and series each is of, and those of a series one after the other."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core.records.identity.interning import grown
from pipeline.core.triggers.records import alert_id
from pipeline.core.triggers.state import NONE, Alerts, clear_alert, new_alerts, with_alerts

if TYPE_CHECKING:
    from pipeline.core.compiled import Array

__all__ = ["AlertColumns"]


class AlertColumns:
    """Alerts by row; the rows of those that ended are used again.

    Attributes
    ----------
    alerts : Alerts
        Their state, in columns.
    used : int
        Rows that were ever used.
    first : int32[series]
        The first alert of each series; `NONE` for none.
    """

    def __init__(self) -> None:
        self.alerts: Alerts = new_alerts()
        self.used = 0
        self.first: Array = np.zeros(0, np.int32)
        self._policy_ids: dict[int, str] = {}
        self._ids: dict[int, str] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def open_count(self) -> int:
        """How many have notified and are not over."""
        return int(np.count_nonzero(self.alerts.notified[: self.used]))

    def add_series(self, number: int) -> None:
        """Let there be a series without alerts."""
        self.first = grown(self.first, number + 1)
        self.first[number] = NONE

    def bind(self, number: int, row: int, policy_id: str, series: str) -> int:
        """Make the alert of a series and a policy, among those of the series by the policies' ids; return its row."""
        alert = self._free.pop() if self._free else self.used
        self.used = max(self.used, alert + 1)
        self.alerts = alerts = with_alerts(self.alerts, self.used)
        clear_alert(alerts, alert)
        alerts.policy[alert], alerts.series[alert] = row, number
        self._policy_ids[alert], self._ids[alert] = policy_id, alert_id(policy_id, series)
        before = NONE
        for other in self.on(number):
            if self._policy_ids[other] > policy_id:
                break
            before = other
        self._link(alert, before)
        return alert

    def drop(self, alert: int) -> None:
        """Take an alert out."""
        alerts, number = self.alerts, int(self.alerts.series[alert])
        before = NONE
        for other in self.on(number):
            if other == alert:
                break
            before = other
        if before == NONE:
            self.first[number] = alerts.following[alert]
        else:
            alerts.following[before] = alerts.following[alert]
        alerts.policy[alert] = NONE
        alerts.notified[alert] = 0
        del self._ids[alert], self._policy_ids[alert]
        self._free.append(alert)

    def id(self, alert: int) -> str:
        """Return what identifies an alert in records."""
        return self._ids[alert]

    def find(self, number: int, row: int) -> int | None:
        """Return the alert of a series and a policy, None if there is none."""
        return next((alert for alert in self.on(number) if self.alerts.policy[alert] == row), None)

    def on(self, number: int) -> Iterator[int]:
        """Yield the alerts of a series, by their policies' ids."""
        alert = int(self.first[number])
        while alert != NONE:
            following = int(self.alerts.following[alert])
            yield alert
            alert = following

    def of(self, row: int) -> list[int]:
        """Return the alerts of a policy."""
        found: list[int] = np.flatnonzero(self.alerts.policy[: self.used] == row).tolist()
        return found

    def _link(self, alert: int, before: int) -> None:
        following = self.alerts.following
        if before == NONE:
            number = int(self.alerts.series[alert])
            following[alert], self.first[number] = self.first[number], alert
        else:
            following[alert], following[before] = following[before], alert

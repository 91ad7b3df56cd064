"""What the detectors would have reported on a history: alerts a day, and with labels what was found and how late."""

from dataclasses import dataclass

import numpy as np

from pipeline.core.anomalies.step import Scores
from pipeline.core.compiled import Array
from schemas.severity import Severity

__all__ = ["LEVELS", "Labelled", "ScoredAlerts", "against_labels", "alerts_from", "days_of"]

LEVELS = (Severity.INFO, Severity.WARN, Severity.CRITICAL)
"""The sensitivities, the most sensitive first."""
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class ScoredAlerts:
    """The alerts of one series at one sensitivity.

    Attributes
    ----------
    level : Severity
        The least level that alerts.
    rows : int64[alerts]
        The rows that alert.
    a_day : float
        How many a day; 0 for a history without a length.
    """

    level: Severity
    rows: Array
    a_day: float


@dataclass(frozen=True, slots=True)
class Labelled:
    """The alerts of one series beside the incidents that are known.

    Attributes
    ----------
    incidents, found : int
        How many there were, and how many of them had an alert in them.
    delays_ms : tuple of int
        From the start of each one found to its first alert.
    false_alerts : int
        Alerts that are in no incident.
    """

    incidents: int
    found: int
    delays_ms: tuple[int, ...]
    false_alerts: int


def days_of(time_ms: Array) -> float:
    """Return the days from the first to the last of some times in milliseconds; 0 for none."""
    return float(time_ms.max() - time_ms.min()) / _DAY_MS if len(time_ms) else 0.0


def alerts_from(scores: Scores, time_ms: Array, level: Severity) -> ScoredAlerts:
    """Return the alerts from ``level`` on.

    Examples
    --------
    >>> level = np.array([0, 3, 0, 1], np.int8)
    >>> scores = Scores(np.zeros(4), level, level, np.zeros(4), np.zeros(4))
    >>> alerts_from(scores, _DAY_MS * np.arange(4) // 2, Severity.WARN)
    ScoredAlerts(level=<Severity.WARN: 2>, rows=array([1]), a_day=0.6666666666666666)
    """
    rows = np.flatnonzero(scores.level >= level)
    days = days_of(time_ms)
    return ScoredAlerts(level, rows, len(rows) / days if days > 0 else 0.0)


def against_labels(alert_ms: Array, incidents: list[tuple[int, int]]) -> Labelled:
    """Return how alerts compare with incidents, each from its first to its last moment in milliseconds.

    Examples
    --------
    >>> against_labels(np.array([5, 25, 28]), [(20, 30), (40, 50)])
    Labelled(incidents=2, found=1, delays_ms=(5,), false_alerts=1)
    """
    inside = np.zeros(len(alert_ms), bool)
    delays = []
    for start, end in incidents:
        within = (alert_ms >= start) & (alert_ms <= end)
        inside |= within
        if within.any():
            delays.append(int(alert_ms[within].min()) - start)
    return Labelled(len(incidents), len(delays), tuple(delays), int((~inside).sum()))

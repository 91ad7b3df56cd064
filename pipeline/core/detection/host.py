"""One incident of a resource out of its many series: how many are anomalous together, and which the most."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Generic, NamedTuple, TypeVar

from pipeline.core.anomalies.scorer import Reason
from schemas.severity import Severity

S = TypeVar("S")

MOST_NAMED: Final = 10
"""Series that an incident names."""


class IncidentChange(StrEnum):
    """What became of an incident."""

    BEGAN = "began"
    GREW = "grew"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class HostLimits:
    """When series that are anomalous are an incident of their resource.

    Attributes
    ----------
    least_share : float
        Of the watched series, 0 to 1.
    least_series : int
        How many, whatever the share.
    together_ms : int
        How long a series counts as anomalous after its value was reported: an incident of a series is reported once,
        when it begins, and the series of one cause do not all begin in the same window.
    """

    least_share: float = 0.2
    least_series: int = 3
    together_ms: int = 900_000


class Reported(NamedTuple):
    """What was reported of one series' value."""

    end_ms: int
    """End of the window."""
    score: float
    level: Severity
    reason: Reason


class IncidentUpdate(NamedTuple, Generic[S]):
    """A change of a resource's incident."""

    change: IncidentChange
    begun_ms: int
    """Start of the window that it began with."""
    level: Severity
    """The greatest level of its series; NORMAL at its end."""
    score: float
    """The greatest score of its series; 0 at its end."""
    share: float
    """Of the watched series that are anomalous together."""
    anomalous: int
    most: Sequence[tuple[S, Reported]]
    """The most anomalous series, the highest scores first."""


@dataclass(slots=True)
class HostAnomalies(Generic[S]):
    """The anomalous series of one resource, and the incident that they are, if they are one.

    An incident begins with a window after which enough series are anomalous together, grows whenever its level rises,
    and ends when none of its series has been reported for `HostLimits.together_ms`. Each of the three is one update.

    Attributes
    ----------
    reported : dict
        The series that count as anomalous, with the greatest of what was reported, at the time of the newest.
    begun_ms : int or None
        Start of the window that the incident began with; none: there is no incident.
    level : Severity
        The greatest that was reported of the incident.

    Examples
    --------
    >>> host = HostAnomalies()
    >>> spikes = {name: Reported(60_000, 3.0, Severity.WARN, Reason.SPIKE) for name in ("cpu", "load", "net")}
    >>> update = host.settle(0, 60_000, spikes, 12, HostLimits(), str)
    >>> update.change.value, update.share, [name for name, _ in update.most]
    ('began', 0.25, ['cpu', 'load', 'net'])
    >>> host.settle(60_000, 120_000, {}, 12, HostLimits(), str)
    >>> host.settle(900_000, 960_001, {}, 12, HostLimits(), str).change.value
    'ended'
    """

    reported: dict[S, Reported] = field(default_factory=dict)
    begun_ms: int | None = None
    level: Severity = Severity.NORMAL

    @property
    def is_calm(self) -> bool:
        """Whether nothing can change without another series that is reported."""
        return not self.reported and self.begun_ms is None

    def settle(
        self,
        start_ms: int,
        end_ms: int,
        reported: Mapping[S, Reported],
        series_count: int,
        limits: HostLimits,
        name_of: Callable[[S], str],
    ) -> IncidentUpdate[S] | None:
        """Take what was reported of the windows of one time, and return what becomes of the incident; None for nothing.

        Parameters
        ----------
        start_ms, end_ms : int
            Of the windows.
        reported : mapping
            By series, what was reported of it.
        series_count : int
            How many series of the resource are watched.
        limits : HostLimits
            When it is an incident.
        name_of : callable
            What orders series of equal scores.
        """
        anomalous = dict(reported)
        for series, each in self.reported.items():
            if end_ms - each.end_ms <= limits.together_ms:
                anomalous[series] = _greater(reported.get(series), each)
        self.reported = anomalous
        share = min(1.0, len(anomalous) / max(series_count, 1))
        level = max((each.level for each in anomalous.values()), default=Severity.NORMAL)
        if self.begun_ms is None:
            if len(anomalous) < limits.least_series or share < limits.least_share:
                return None
            self.begun_ms, self.level = start_ms, level
            return self._update(IncidentChange.BEGAN, share, name_of)
        if not anomalous:
            update: IncidentUpdate[S] = IncidentUpdate(
                IncidentChange.ENDED, self.begun_ms, Severity.NORMAL, 0.0, 0.0, 0, ()
            )
            self.begun_ms, self.level = None, Severity.NORMAL
            return update
        if level > self.level:
            self.level = level
            return self._update(IncidentChange.GREW, share, name_of)
        return None

    def forget(self, series: Iterable[S]) -> None:
        """Leave out series that are no longer watched."""
        for each in series:
            self.reported.pop(each, None)

    def _update(self, change: IncidentChange, share: float, name_of: Callable[[S], str]) -> IncidentUpdate[S]:
        ordered = sorted(self.reported.items(), key=lambda item: (-item[1].score, name_of(item[0])))
        begun_ms = 0 if self.begun_ms is None else self.begun_ms
        greatest = ordered[0][1].score
        return IncidentUpdate(change, begun_ms, self.level, greatest, share, len(ordered), ordered[:MOST_NAMED])


def _greater(newer: Reported | None, older: Reported) -> Reported:
    """Return the one of the greater score, at the time of the newer."""
    if newer is None:
        return older
    return newer if newer.score >= older.score else older._replace(end_ms=newer.end_ms)

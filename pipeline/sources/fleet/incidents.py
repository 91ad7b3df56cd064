"""What goes wrong in the simulated fleet, and when: the ground truth for detection."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from pipeline.sources.fleet.hosts import Host

_FIRST_AFTER_MS = 15_000
_FIRST_APART_MS = 7_000
_HOST_PERIOD_MS = 7_200_000  # each host has an incident about this often
_CLOSEST_MS = 5_000


class IncidentKind(StrEnum):
    """The kinds, in the order in which a demonstration shows them first."""

    CPU_SPIKE = "cpu_spike"
    NET_ERRORS = "net_errors"
    MEMORY_LEAK = "memory_leak"
    HOST_SILENT = "host_silent"
    COUNTER_RESET = "counter_reset"
    DISK_FILLING = "disk_filling"
    LEVEL_SHIFT = "level_shift"


# The metric where it shows best, and the shortest and longest duration in seconds (0: one interval).
_TRAITS = {
    IncidentKind.CPU_SPIKE: ("cpu.usage_active", 60, 180),
    IncidentKind.NET_ERRORS: ("net.err_in", 60, 180),
    IncidentKind.MEMORY_LEAK: ("mem.used_percent", 600, 1800),
    IncidentKind.HOST_SILENT: ("*", 60, 300),
    IncidentKind.COUNTER_RESET: ("net.bytes_recv", 0, 0),
    IncidentKind.DISK_FILLING: ("disk.used_percent", 600, 1800),
    IncidentKind.LEVEL_SHIFT: ("cpu.usage_active", 1200, 3600),
}


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident of one host, during ``[start_ms, end_ms)``."""

    position: int
    """The host's position in the fleet."""
    resource: str
    host: str
    metric: str
    """``measurement.field`` where it shows, ``*`` if all metrics of the host are concerned."""
    kind: IncidentKind
    start_ms: int
    end_ms: int

    def as_truth(self) -> dict[str, str | int]:
        """Return the line of the ground truth."""
        return {
            "host": self.host,
            "resource": self.resource,
            "metric": self.metric,
            "kind": self.kind.value,
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
        }

    def progress(self, now_ms: int) -> float:
        """Return how far it has come, 0 at its start and towards 1 at its end."""
        return (now_ms - self.start_ms) / (self.end_ms - self.start_ms)


class IncidentPlan:
    """Says at each tick which incidents are under way.

    The first of each kind (fewer in a small fleet) start one after the other within the first minute; later every host
    has one about every two hours. No host has two at a time.

    Parameters
    ----------
    hosts
        The fleet.
    rng
        The only source of chance.
    start_ms, interval_ms
        The grid of ticks, on which incidents start and end.
    """

    def __init__(self, hosts: Sequence[Host], rng: np.random.Generator, *, start_ms: int, interval_ms: int) -> None:
        self._hosts = hosts
        self._rng = rng
        self._start_ms = start_ms
        self._interval_ms = interval_ms
        self._apart_ms = max(_HOST_PERIOD_MS // len(hosts), _CLOSEST_MS)
        self._first = min(len(IncidentKind), (len(hosts) + 3) // 4)
        self._planned = 0
        self._next_ms = start_ms + _FIRST_AFTER_MS
        self._active: list[Incident] = []

    def at(self, now_ms: int) -> tuple[list[Incident], list[Incident]]:
        """Return the incidents under way, and those of them that begin at this tick. Call it for every tick."""
        self._active = [incident for incident in self._active if incident.end_ms > now_ms]
        begun = []
        while self._next_ms <= now_ms:
            incident = self._begin(now_ms)
            if incident is not None:
                begun.append(incident)
                self._active.append(incident)
            self._planned += 1
            apart_ms = _FIRST_APART_MS if self._planned < self._first else self._apart_ms
            self._next_ms += apart_ms
        return self._active, begun

    def _begin(self, now_ms: int) -> Incident | None:
        kinds = list(IncidentKind)
        in_order = self._planned < self._first
        kind = kinds[self._planned if in_order else int(self._rng.integers(len(kinds)))]
        position = int(self._rng.integers(len(self._hosts)))
        metric, shortest_s, longest_s = _TRAITS[kind]
        duration_ms = int(self._rng.integers(shortest_s, longest_s + 1)) * 1000
        busy = {incident.position for incident in self._active}
        if len(busy) == len(self._hosts) or (position in busy and not in_order):
            return None
        while position in busy:
            position = (position + 1) % len(self._hosts)
        intervals = max(-(-duration_ms // self._interval_ms), 1)
        host = self._hosts[position]
        return Incident(
            position=position,
            resource=host.resource,
            host=host.name,
            metric=metric,
            kind=kind,
            start_ms=now_ms,
            end_ms=now_ms + intervals * self._interval_ms,
        )

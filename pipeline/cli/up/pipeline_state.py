"""What is known of a running pipeline at one moment: what the view, the lines and the JSON of ``cinnamon up`` show."""

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.cli.up.worker_client import WorkerCounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.sources.fleet.incidents import Incident
    from pipeline.stores.base import SeriesPoint
    from schemas.alert import AlertEvent


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """What happens a second."""

    records: float = 0.0
    samples: float = 0.0
    windows: float = 0.0
    points: float = 0.0


class RateMeter:
    """Makes rates of counts.

    Parameters
    ----------
    span_s
        The time that is averaged over: long enough for several windows, which come in bursts.
    """

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._seen: deque[tuple[float, WorkerCounts]] = deque()

    def add(self, now_s: float, counts: WorkerCounts) -> Rates:
        """Take the counts of a moment, in seconds of any steady clock, and return the rates up to it."""
        self._seen.append((now_s, counts))
        # the newest one that is a whole span old stays: without it the time averaged over would shrink
        while len(self._seen) > 2 and now_s - self._seen[1][0] >= self._span_s:
            self._seen.popleft()
        then_s, before = self._seen[0]
        passed_s = now_s - then_s
        if passed_s <= 0:
            return Rates()
        return Rates(
            records=(counts.records - before.records) / passed_s,
            samples=(counts.samples - before.samples) / passed_s,
            windows=(counts.windows - before.windows) / passed_s,
            points=(counts.written - before.written) / passed_s,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ClosedWindow:
    """One field of one closed window."""

    start_ms: int
    end_ms: int
    series: str
    """The host, and what tells its series apart."""
    field: str
    """``measurement.field``."""
    minimum: float
    maximum: float
    average: float
    last: float


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredState:
    """What the store says."""

    closed: "Sequence[ClosedWindow]" = ()
    """Windows that closed last."""
    top_cpu: "Sequence[SeriesPoint]" = ()
    """Hosts with the greatest ``cpu.usage_active`` on average, the greatest first."""
    top_memory: "Sequence[SeriesPoint]" = ()
    """Hosts with the greatest ``mem.used_percent`` on average, the greatest first."""
    span_ms: int = 0
    """The time that the top hosts are ranked over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineState:
    """Everything that is shown."""

    phase: str
    """``starting``, ``running``, ``draining`` or ``ended``."""
    source: str
    """What feeds the pipeline, in words."""
    every_ms: int
    interval_ms: int
    uptime_s: float
    broker: str
    web_port: int
    control_port: int
    directory: str
    broker_memory_bytes: int = 0
    sent: int = 0
    """Messages that the source handed over."""
    counts: WorkerCounts = field(default_factory=WorkerCounts)
    rates: Rates = field(default_factory=Rates)
    stored: StoredState = field(default_factory=StoredState)
    alerts: "Sequence[AlertEvent]" = ()
    """The newest that were worth telling, the oldest first."""
    incidents: "Sequence[Incident]" = ()
    """The newest, the oldest first."""
    incident_count: int = 0

    def as_document(self) -> dict[str, Any]:
        """Return the numbers as a JSON object."""
        counts, rates = self.counts, self.rates
        return {
            "phase": self.phase,
            "uptime_s": round(self.uptime_s, 3),
            "sent": self.sent,
            "records": counts.records,
            "samples": counts.samples,
            "windows": counts.windows,
            "corrections": counts.corrections,
            "points_written": counts.written,
            "dead_letters": counts.dead_letters,
            "series": counts.series,
            "incidents": self.incident_count,
            "scored": counts.scored,
            "anomalies": counts.anomalies,
            "host_incidents": counts.host_incidents,
            "alerts": counts.alerts,
            "open_alerts": counts.open_alerts,
            "broker_memory_bytes": self.broker_memory_bytes,
            "rates": {
                "records_per_s": round(rates.records, 1),
                "samples_per_s": round(rates.samples, 1),
                "windows_per_s": round(rates.windows, 1),
                "points_per_s": round(rates.points, 1),
            },
            "lag_records": {"aggregate": counts.aggregate_lag, "sink": counts.sink_lag},
            "balance": balance_document(counts),
        }


def balance_document(counts: WorkerCounts) -> dict[str, int | bool]:
    """Return the sample balance as a JSON object: ``in`` is the sum of the others when ``holds`` is true."""
    return {
        "in": counts.fields_in,
        "aggregated": counts.aggregated,
        "late": counts.late,
        "too_late": counts.too_late,
        "filtered": counts.filtered,
        "open": counts.open_samples,
        "holds": counts.missing_samples == 0,
    }

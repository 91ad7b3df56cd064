"""What a worker says on its web port, as numbers: readiness, and the counts of the whole process."""

import http.client
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from pipeline.stages.aggregate.spec import SPEC as AGGREGATE
from pipeline.stages.detect.spec import SPEC as DETECT
from pipeline.stages.sink.spec import SPEC as SINK
from pipeline.stages.trigger.spec import SPEC as TRIGGER

_TIMEOUT_S: Final = 2.0
_LONGEST_ANSWER_BYTES: Final = 16 * 1024 * 1024


class WorkerUnreachableError(RuntimeError):
    """The worker did not answer, or not with what was asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerCounts:
    """Totals over all partitions since the worker's start, and its state now.

    Samples balance: ``samples == aggregated + late + too_late + open_samples``; ``filtered`` fields come on top.
    """

    records: int = 0
    """Records that the aggregate stage read."""
    samples: int = 0
    aggregated: int = 0
    late: int = 0
    too_late: int = 0
    filtered: int = 0
    open_samples: int = 0
    windows: int = 0
    """Windows emitted for the first time; a window is one measurement and tag set with all fields."""
    corrections: int = 0
    sunk: int = 0
    """Records of metrics.agg that the sink read."""
    written: int = 0
    """Windows that the stores took."""
    superseded: int = 0
    rejected: int = 0
    dead_letters: int = 0
    aggregate_lag: int = 0
    """Records of metrics.raw that wait."""
    sink_lag: int = 0
    """Records of metrics.agg that wait."""
    series: int = 0
    watched: int = 0
    """Records of metrics.agg that detection read."""
    scored: int = 0
    """Values that it scored."""
    anomalies: int = 0
    """Values that it reported, at any level."""
    host_incidents: int = 0
    """Records of incidents of hosts: beginnings, growths and ends."""
    alerts: int = 0
    """Records of alerts: what fired, changed and ended."""
    open_alerts: int = 0

    @property
    def fields_in(self) -> int:
        """All fields that were read: samples, and what is none."""
        return self.samples + self.filtered

    @property
    def missing_samples(self) -> int:
        """Samples that went in and are nowhere: 0, or there is a defect."""
        return self.samples - self.aggregated - self.late - self.too_late - self.open_samples

    @property
    def is_all_written(self) -> bool:
        """Whether the sink is done with every window that was emitted."""
        return self.sunk >= self.windows + self.corrections and (
            self.written + self.superseded + self.rejected >= self.sunk
        )

    @property
    def is_all_scored(self) -> bool:
        """Whether detection is done with every window that was emitted."""
        return self.watched >= self.windows + self.corrections


_WINDOWS_SINK: Final = f"{SINK.name}-local"  # that of history and events has another name
# Name of each count: the metric's name, with the label `kind` where it has one, and what the stage's name begins with.
_SOURCES: Final = {
    "records": ("cinnamon_input_records_total", AGGREGATE.name),
    "samples": ("cinnamon_input_samples_total", AGGREGATE.name),
    "aggregated": ("cinnamon_aggregated_samples_total", AGGREGATE.name),
    "late": ("cinnamon_late_samples_total", AGGREGATE.name),
    "too_late": ("cinnamon_too_late_samples_total", AGGREGATE.name),
    "filtered": ("cinnamon_filtered_samples_total", AGGREGATE.name),
    "open_samples": ("cinnamon_open_samples", AGGREGATE.name),
    "windows": ("cinnamon_emitted_windows_total", AGGREGATE.name),
    "corrections": ("cinnamon_corrected_windows_total", AGGREGATE.name),
    "sunk": ("cinnamon_input_records_total", _WINDOWS_SINK),
    "written": ("cinnamon_written_points_total", _WINDOWS_SINK),
    "superseded": ("cinnamon_superseded_points_total", _WINDOWS_SINK),
    "rejected": ("cinnamon_rejected_points_total", _WINDOWS_SINK),
    "dead_letters": ("cinnamon_dead_lettered_records_total", ""),
    "aggregate_lag": ("cinnamon_lag_records", AGGREGATE.name),
    "sink_lag": ("cinnamon_lag_records", _WINDOWS_SINK),
    "series": ("cinnamon_series", AGGREGATE.name),
    "watched": ("cinnamon_input_records_total", DETECT.name),
    "scored": ("cinnamon_scored_samples_total", DETECT.name),
    "anomalies": ("cinnamon_anomalies_total{anomaly}", DETECT.name),
    "host_incidents": ("cinnamon_anomalies_total{host}", DETECT.name),
    "alerts": ("cinnamon_alerts_total", TRIGGER.name),
    "open_alerts": ("cinnamon_open_alerts", TRIGGER.name),
}


def parse_counts(text: str) -> WorkerCounts:
    """Return the counts that a worker's ``/metrics`` shows; what it does not show yet is 0.

    Raises
    ------
    ValueError
        If the text is not in Prometheus' format.
    """
    totals: dict[tuple[str, str], float] = {}
    for name, stage, value in _stage_samples(text):
        totals[name, stage] = totals.get((name, stage), 0.0) + value
    return WorkerCounts(
        **{
            count: round(
                sum(value for (name, stage), value in totals.items() if name == metric and stage.startswith(prefix))
            )
            for count, (metric, prefix) in _SOURCES.items()
        }
    )


class WorkerClient:
    """Asks a worker on this machine.

    Parameters
    ----------
    port
        Its web port.
    timeout_s
        How long an answer may take.
    """

    def __init__(self, port: int, timeout_s: float = _TIMEOUT_S) -> None:
        self._port = port
        self._timeout_s = timeout_s

    def is_ready(self) -> bool:
        """Return whether every stage has its partitions and has caught up; False while nobody answers."""
        try:
            status, _ = self._get("/readyz")
        except WorkerUnreachableError:
            return False
        return status == http.client.OK

    def counts(self) -> WorkerCounts:
        """Return the worker's counts.

        Raises
        ------
        WorkerUnreachableError
            If it does not answer in time, or with something else.
        """
        status, body = self._get("/metrics")
        if status != http.client.OK:
            raise WorkerUnreachableError(f"the worker answers /metrics with status {status}")
        try:
            return parse_counts(body.decode())
        except ValueError as error:
            raise WorkerUnreachableError(f"the worker's metrics cannot be read: {error}") from error

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._timeout_s)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read(_LONGEST_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise WorkerUnreachableError(f"no worker answers on port {self._port}: {error}") from error
        finally:
            connection.close()


def _stage_samples(text: str) -> Iterator[tuple[str, str, float]]:
    wanted = {metric for metric, _ in _SOURCES.values()}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = f"{sample.name}{{{sample.labels['kind']}}}" if "kind" in sample.labels else sample.name
            if name in wanted:
                yield name, sample.labels.get("stage", ""), sample.value

"""What goes wrong in the simulated fleet is told soon, by the right series, and once; what is no incident is not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest

import topics
from pipeline.core.aggregator import PartitionAggregator
from pipeline.core.identity import resource_of
from pipeline.core.record_parser import batch_of
from pipeline.core.series import WindowRule
from pipeline.core.window_rules import WindowRules
from pipeline.sources.fleet import Fleet
from pipeline.sources.fleet_incidents import Incident, IncidentKind
from schemas.anomaly import Anomaly
from schemas.catalogue import load_catalogue
from tests.detecting import anomalies, detector_of
from tests.real.tansu import EmbeddedBroker
from tests.stages.brokers import DETECTION, USED, Broker, Raw, pipeline_topics, produce, read_topic
from tests.stages.streams import settings_of
from tests.stages.worker import Worker, running

START_MS = 1_780_272_000_000
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
CALM_MS = 26 * HOUR_MS
"""A day to learn from, and the hours that series are young."""
WITHIN = 3
"""Windows in which an incident is to be told."""
HOSTS = 28

WITH_CPU = {
    *("cpu.usage_active", "cpu.usage_iowait", "cpu.usage_steal", "system.load1", "mem.used_percent"),
    *("diskio.read_bytes", "diskio.write_bytes", "diskio.io_time", "net.bytes_sent", "net.bytes_recv"),
}
"""What follows a host's load in the fleet."""
MOVED = {
    IncidentKind.CPU_SPIKE: WITH_CPU,
    IncidentKind.LEVEL_SHIFT: WITH_CPU,
    IncidentKind.NET_ERRORS: {"net.err_in", "net.err_out", "net.drop_in"},
    IncidentKind.MEMORY_LEAK: {"mem.used_percent"},
    IncidentKind.DISK_FILLING: {"disk.used_percent", "disk.inodes_used_percent"},
}
"""Which watched series an incident moves; the truth's metric is the one where it shows best."""


@dataclass(frozen=True)
class Case:
    """One incident, and what was told of its host while it lasted."""

    incident: Incident
    told: Sequence[Anomaly] = field(repr=False)

    @cached_property
    def series(self) -> list[str]:
        """The series told, the first in time first, of one time the strangest."""
        ordered = sorted((each for each in self.told if each.kind == "anomaly"), key=lambda a: (a.start_ms, -a.score))
        return [f"{each.measurement}.{each.field}" for each in ordered]

    @property
    def is_soon(self) -> bool:
        """Whether the truth's metric, or another series that the incident moves, is told within three windows."""
        end_ms = self.incident.start_ms + WITHIN * MINUTE_MS
        return any(
            each.kind == "anomaly"
            and each.start_ms < end_ms
            and f"{each.measurement}.{each.field}" in MOVED[self.incident.kind]
            for each in self.told
        )

    @property
    def is_right_first(self) -> bool:
        return bool(self.series) and self.series[0] in MOVED[self.incident.kind]

    @property
    def is_named(self) -> bool:
        return self.incident.metric in self.series

    @property
    def begun(self) -> list[Anomaly]:
        """The incidents of the host that began meanwhile."""
        return [each for each in self.told if each.state == "began"]


@dataclass(frozen=True)
class Watched:
    """What came of the fleet."""

    incidents: Sequence[Incident]
    records: Sequence[Anomaly] = field(repr=False)
    end_ms: int

    def cases(self, kind: IncidentKind) -> list[Case]:
        return [self.case(each) for each in self.incidents if each.kind is kind and each.end_ms <= self.end_ms]

    def case(self, incident: Incident) -> Case:
        told = [
            each
            for each in self.records
            if resource_of(each.tags) == incident.resource
            and each.end_ms > incident.start_ms
            and each.start_ms < incident.end_ms
        ]
        return Case(incident, told)


@pytest.fixture(scope="module")
def watched() -> Watched:
    """A calm day of 28 hosts, then five hours of incidents, aggregated by the minute and judged."""
    incidents: list[Incident] = []
    fleet = Fleet(HOSTS, 2, START_MS, MINUTE_MS, calm_ms=CALM_MS, on_incident=incidents.append)
    counters = load_catalogue().counters
    rules = WindowRules(default=WindowRule(MINUTE_MS, 10_000, MINUTE_MS))
    aggregator = PartitionAggregator(0, rules, lambda measurement, name: (measurement, name) in counters)
    detector = detector_of(sample_interval_ms=0)
    values: list[bytes] = []
    read = windows = 0
    ticks = (CALM_MS + 5 * HOUR_MS) // MINUTE_MS
    for tick in range(ticks):
        batch = batch_of([message.value for message in fleet.tick()], read)
        read += len(batch.offset)
        closed = aggregator.add(batch, 0, len(batch.offset), START_MS + tick * MINUTE_MS).values
        values += detector.add(enumerate(closed, windows)).values
        windows += len(closed)
    return Watched(incidents, anomalies(values), START_MS + ticks * MINUTE_MS)


def share(cases: Sequence[Case], name: str) -> float:
    """Give the share of cases of which a property is true; there must be enough to speak of one."""
    assert len(cases) >= 4
    return sum(bool(getattr(case, name)) for case in cases) / len(cases)


def test_a_spike_of_the_processor_is_told_at_once_as_one_incident_that_names_it(watched: Watched) -> None:
    spikes = watched.cases(IncidentKind.CPU_SPIKE)
    assert share(spikes, "is_soon") == 1.0
    assert share(spikes, "is_right_first") == 1.0
    assert share(spikes, "is_named") >= 0.7
    assert [len(case.begun) for case in spikes].count(1) >= 0.7 * len(spikes)
    for case in spikes:
        for record in case.begun:
            assert record.series is not None
            named = [f"{each.measurement}.{each.field}" for each in record.series]
            assert set(named) <= WITH_CPU
            assert len(named) >= 3


def test_errors_of_the_network_are_told_at_once_by_their_own_series(watched: Watched) -> None:
    cases = watched.cases(IncidentKind.NET_ERRORS)
    assert share(cases, "is_soon") >= 0.8
    assert all(case.is_right_first for case in cases if case.series)
    assert [case.series[:1] for case in cases].count(["net.err_in"]) >= 0.7 * len(cases)


def test_a_disk_that_fills_is_told_within_three_windows_by_its_own_series(watched: Watched) -> None:
    cases = watched.cases(IncidentKind.DISK_FILLING)
    assert share(cases, "is_soon") >= 0.7
    assert all(case.is_right_first for case in cases if case.series)


def test_what_grows_slowly_or_hides_in_the_load_is_told_by_the_right_series_if_not_always_soon(
    watched: Watched,
) -> None:
    leaks, shifts = watched.cases(IncidentKind.MEMORY_LEAK), watched.cases(IncidentKind.LEVEL_SHIFT)
    assert share(leaks, "is_named") >= 0.5
    assert share(shifts, "is_soon") >= 0.5
    assert all(case.is_right_first for case in (*leaks, *shifts) if case.series)


def test_what_is_no_anomaly_of_a_value_is_not_told(watched: Watched) -> None:
    cases = [case for kind in (IncidentKind.COUNTER_RESET, IncidentKind.HOST_SILENT) for case in watched.cases(kind)]
    assert share(cases, "series") <= 0.1


def test_while_nothing_goes_wrong_little_is_told(watched: Watched) -> None:
    calm = [
        each for each in watched.records if each.level in {"warn", "critical"} and each.end_ms <= START_MS + CALM_MS
    ]
    watched_series_days = 16 * HOSTS * (CALM_MS - 600 * MINUTE_MS) / (24 * HOUR_MS)
    # the second day is the loudest: each hour comes for the second time (docs/anomalies.md)
    assert sum(each.kind == "anomaly" for each in calm) / watched_series_days < 0.9


def test_an_incident_goes_its_way_from_the_agents_messages_to_the_topic_of_anomalies(
    embedded: Broker, tmp_path: Path
) -> None:
    calm_ms = 11 * HOUR_MS
    incidents: list[Incident] = []
    fleet = Fleet(8, 4, START_MS, MINUTE_MS, calm_ms=calm_ms, on_incident=incidents.append)
    messages = [message for _ in range((calm_ms + 8 * MINUTE_MS) // MINUTE_MS) for message in fleet.tick()]
    settings = settings_of(
        embedded,
        rules=False,
        windows={"every_s": 60, "grace_s": 10, "correction_s": 60},
        detect={"sample_interval_s": 0},
    )
    with running(Worker(tmp_path / "worker", settings, stages="aggregate,detect")) as worker:
        count = produce(embedded, [Raw(each.value, each.key, each.time_ms) for each in messages])
        worker.wait_for(
            lambda scrape: (
                scrape.total("input_records_total", stage="aggregate") == count
                and scrape.total("input_records_total", stage="detect") == scrape.total("emitted_windows_total")
            ),
            "all judged",
        )
    stored = read_topic(embedded, topics.ANOMALIES)
    records = anomalies(record.value for record in stored)
    assert [record.key for record in stored] == [resource_of(record.tags).encode() for record in records]
    watched = Watched(incidents, records, START_MS + calm_ms + HOUR_MS)
    spike, errors = (watched.cases(kind)[0] for kind in (IncidentKind.CPU_SPIKE, IncidentKind.NET_ERRORS))
    assert spike.is_soon
    assert spike.is_right_first
    assert len(spike.begun) == 1
    assert errors.is_soon
    assert errors.is_right_first


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Broker]:
    server = EmbeddedBroker(tmp_path / "broker").start()
    with pipeline_topics(server, names=sorted({*USED, *DETECTION})) as broker:
        yield broker
    server.stop()

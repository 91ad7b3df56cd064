"""What goes wrong in the simulated fleet is reported soon, by the right series, and once; what is none is not."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import orjson
import pytest

import topics
from pipeline.core.records.identity.interning import WindowRule
from pipeline.core.records.identity.resource import resource_of
from pipeline.core.records.telegraf.parser import batch_of
from pipeline.core.windows.aggregator import PartitionAggregator
from pipeline.core.windows.rules import WindowRules
from pipeline.sources.fleet.fleet import Fleet
from pipeline.sources.fleet.incidents import Incident, IncidentKind
from schemas.anomaly import Anomaly
from schemas.catalogue import load_catalogue
from tests.support.core.detecting import anomalies, detector_of
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.stages.brokers import DETECTION, USED, Broker, Raw, pipeline_topics, produce, read_topic
from tests.support.stages.streams import settings_of
from tests.support.stages.worker import Worker, running

START_MS = 1_780_272_000_000
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
CALM_MS = 26 * HOUR_MS
"""A day to learn from, and the hours that series are young."""
WITHIN = 3
"""Windows in which an incident is to be reported."""
HOSTS = 84
SEED = 13
"""None that the detector was tried on."""
HOURS = 5
"""Of incidents: every host has two or three."""

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
SHOWS = ("cpu.usage_active", "net.err_in", "mem.used_percent", "disk.used_percent")
"""The truth's metrics."""


Truth = Mapping[tuple[str, str], Mapping[int, float]]
"""Of a resource and a truth's metric: the value of each window by its start."""


@dataclass(frozen=True)
class Case:
    """One incident, what its metric was until then and within three windows, and what was reported of its host."""

    incident: Incident
    reported: Sequence[Anomaly] = field(repr=False)
    before: Sequence[float] = field(repr=False)
    soon: Sequence[float] = field(repr=False)

    @property
    def is_new(self) -> bool:
        """Whether its metric becomes, within three windows, greater than it ever was: else nobody could know yet."""
        return bool(self.soon) and max(self.soon) > max(self.before)

    @cached_property
    def series(self) -> list[str]:
        """The series reported, the first in time first, of one time the one of the highest score."""
        ordered = sorted(
            (each for each in self.reported if each.kind == "anomaly"), key=lambda a: (a.start_ms, -a.score)
        )
        return [f"{each.measurement}.{each.field}" for each in ordered]

    @property
    def is_soon(self) -> bool:
        """Whether the truth's metric, or another series that the incident moves, is reported within three windows."""
        end_ms = self.incident.start_ms + WITHIN * MINUTE_MS
        return any(
            each.kind == "anomaly"
            and each.start_ms < end_ms
            and f"{each.measurement}.{each.field}" in MOVED[self.incident.kind]
            for each in self.reported
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
        return [each for each in self.reported if each.state == "began"]


@dataclass(frozen=True)
class Watched:
    """What came of the fleet."""

    incidents: Sequence[Incident]
    records: Sequence[Anomaly] = field(repr=False)
    truth: Truth = field(repr=False)
    end_ms: int

    def cases(self, kind: IncidentKind) -> list[Case]:
        return [self.case(each) for each in self.incidents if each.kind is kind and each.end_ms <= self.end_ms]

    def case(self, incident: Incident) -> Case:
        reported = [
            each
            for each in self.records
            if resource_of(each.tags) == incident.resource
            and each.end_ms > incident.start_ms
            and each.start_ms < incident.end_ms
        ]
        values = self.truth[incident.resource, incident.metric] if incident.metric != "*" else {}
        first_ms = incident.start_ms - incident.start_ms % MINUTE_MS
        end_ms = first_ms + WITHIN * MINUTE_MS
        return Case(
            incident,
            reported,
            [value for start_ms, value in values.items() if start_ms < first_ms],
            [value for start_ms, value in values.items() if first_ms <= start_ms < end_ms],
        )


def note_truth(windows: Iterable[bytes], truth: dict[tuple[str, str], dict[int, float]]) -> None:
    """Note the values of the truth's metrics in records of metrics.agg: the rate of a counter, the mean of all else."""
    for metric in SHOWS:
        measurement, name = metric.split(".")
        begin = f'{{"schema_version":1,"measurement":"{measurement}"'.encode()
        for value in windows:
            if value.startswith(begin):
                record = orjson.loads(value)
                found = record["fields"][name]
                value_of = found.get("rate") if measurement == "net" else found["avg"]
                if value_of is not None:
                    truth[resource_of(record["tags"]), metric][record["start_ms"]] = value_of


@pytest.fixture(scope="module")
def watched() -> Watched:
    return watch(HOSTS, SEED)


@pytest.fixture(scope="module")
def tried() -> Watched:
    """A smaller fleet, and one that the detector was tried on: there more is asked for."""
    return watch(28, 2)


def watch(hosts: int, seed: int) -> Watched:
    """Let a fleet have a calm day, then hours of incidents, aggregated by the minute and scored."""
    incidents: list[Incident] = []
    fleet = Fleet(hosts, seed, START_MS, MINUTE_MS, calm_ms=CALM_MS, on_incident=incidents.append)
    counters = load_catalogue().counters
    rules = WindowRules(default=WindowRule(MINUTE_MS, 10_000, MINUTE_MS))
    aggregator = PartitionAggregator(0, rules, lambda measurement, name: (measurement, name) in counters)
    detector = detector_of(sample_interval_ms=0)
    truth: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    values: list[bytes] = []
    read = windows = 0
    ticks = (CALM_MS + HOURS * HOUR_MS) // MINUTE_MS
    for tick in range(ticks):
        batch = batch_of([message.value for message in fleet.tick()], read)
        read += len(batch.offset)
        closed = aggregator.add(batch, 0, len(batch.offset), START_MS + tick * MINUTE_MS).values
        note_truth(closed, truth)
        values += detector.add(enumerate(closed, windows)).values
        windows += len(closed)
    return Watched(incidents, anomalies(values), truth, START_MS + ticks * MINUTE_MS)


def share(cases: Sequence[Case], name: str, *, enough: int = 10) -> float:
    """Return the share of cases of which a property is true; there must be enough to speak of one."""
    assert len(cases) >= enough
    return sum(bool(getattr(case, name)) for case in cases) / len(cases)


@pytest.mark.parametrize("kind", MOVED)
def test_what_a_host_has_never_shown_is_reported_within_three_windows(watched: Watched, kind: IncidentKind) -> None:
    assert share([case for case in watched.cases(kind) if case.is_new], "is_soon") >= 0.9


def test_nearly_every_incident_is_reported_before_its_end_and_by_a_series_that_it_moves_first(watched: Watched) -> None:
    cases = [case for kind in MOVED for case in watched.cases(kind)]
    assert share(cases, "series") >= 0.85
    assert share([case for case in cases if case.series], "is_right_first") >= 0.95


def test_its_own_metric_is_among_the_series_reported_of_a_spike_which_is_one_incident(watched: Watched) -> None:
    spikes = watched.cases(IncidentKind.CPU_SPIKE)
    assert share(spikes, "is_named") >= 0.7
    assert [len(case.begun) for case in spikes].count(1) >= 0.7 * len(spikes)
    for case in spikes:
        for record in case.begun:
            assert record.series is not None
            named = [f"{each.measurement}.{each.field}" for each in record.series]
            assert set(named) <= WITH_CPU
            assert len(named) >= 3


def test_errors_of_the_network_are_reported_by_their_own_series(watched: Watched) -> None:
    cases = watched.cases(IncidentKind.NET_ERRORS)
    assert [case.series[:1] for case in cases].count(["net.err_in"]) >= 0.7 * len(cases)


@pytest.mark.parametrize(
    ("kind", "soon", "named"),
    [
        (IncidentKind.CPU_SPIKE, 1.0, 0.7),
        (IncidentKind.NET_ERRORS, 0.8, 0.7),
        (IncidentKind.DISK_FILLING, 0.7, 0.7),
        (IncidentKind.LEVEL_SHIFT, 0.5, 0.5),
        (IncidentKind.MEMORY_LEAK, 0.3, 0.5),
    ],
)
def test_of_all_incidents_of_a_small_fleet_most_are_reported_soon_and_each_by_the_right_series(
    tried: Watched, kind: IncidentKind, soon: float, named: float
) -> None:
    cases = tried.cases(kind)
    assert share(cases, "is_soon", enough=4) >= soon
    assert share(cases, "is_named", enough=4) >= named
    assert all(case.is_right_first for case in cases if case.series)


def test_what_is_no_anomaly_of_a_value_is_not_reported(watched: Watched) -> None:
    cases = [case for kind in (IncidentKind.COUNTER_RESET, IncidentKind.HOST_SILENT) for case in watched.cases(kind)]
    assert share(cases, "series") <= 0.1


def test_while_nothing_goes_wrong_little_is_reported(watched: Watched) -> None:
    calm = [
        each for each in watched.records if each.level in {"warn", "critical"} and each.end_ms <= START_MS + CALM_MS
    ]
    watched_series_days = 16 * HOSTS * (CALM_MS - 600 * MINUTE_MS) / (24 * HOUR_MS)
    # the second day is the loudest: each hour comes for the second time (docs/explanation/anomalies.md)
    assert sum(each.kind == "anomaly" for each in calm) / watched_series_days < 0.9


def test_incidents_go_their_way_from_the_agents_messages_to_the_topic_of_anomalies_within_three_windows(
    embedded: Broker, tmp_path: Path
) -> None:
    incidents: list[Incident] = []
    fleet = Fleet(28, SEED, START_MS, MINUTE_MS, calm_ms=CALM_MS, on_incident=incidents.append)
    end_ms = CALM_MS + HOUR_MS
    messages = [message for _ in range(end_ms // MINUTE_MS) for message in fleet.tick()]
    settings = settings_of(
        embedded,
        rules=False,
        windows={"every_s": 60, "grace_s": 10, "allowed_lateness_s": 60},
        detect={"sample_interval_s": 0},
    )
    with running(Worker(tmp_path / "worker", settings, stages="aggregate,detect")) as worker:
        count = produce(embedded, [Raw(each.value, each.key, each.time_ms) for each in messages])
        worker.wait_for(
            lambda scrape: (
                scrape.total("input_records_total", stage="aggregate") == count
                and scrape.total("input_records_total", stage="detect") == scrape.total("emitted_windows_total")
            ),
            "all scored",
            timeout_s=120,
        )
    stored = read_topic(embedded, topics.ANOMALIES)
    records = anomalies(record.value for record in stored)
    assert [record.key for record in stored] == [resource_of(record.tags).encode() for record in records]
    truth: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    note_truth([record.value for record in read_topic(embedded, topics.METRICS_AGG)], truth)
    watched = Watched(incidents, records, truth, START_MS + end_ms)
    cases = [case for kind in MOVED for case in watched.cases(kind) if case.is_new]
    assert {case.incident.kind for case in cases} == set(MOVED)
    assert [case for case in cases if not case.is_soon or not case.is_right_first] == []


@pytest.fixture
def embedded(own_embedded_broker: EmbeddedBroker) -> Iterator[Broker]:
    with pipeline_topics(own_embedded_broker, names=sorted({*USED, *DETECTION})) as broker:
        yield broker

"""The simulated fleet: what it sends is deterministic, sensible, and goes wrong exactly as its ground truth says."""

import re
from collections import defaultdict
from itertools import islice, pairwise

import orjson
import pytest

from pipeline.core.records.telegraf.line_protocol import parse_line_protocol
from pipeline.core.records.telegraf.parsed import ParsedMetric
from pipeline.sources.base import RawRecord
from pipeline.sources.fleet.fleet import MESSAGES_PER_HOST, Fleet
from pipeline.sources.fleet.incidents import Incident, IncidentKind

START_MS = 1_780_272_000_000  # Monday 2026-06-01, midnight UTC
TEN_S = 10_000
HOUR_MS = 3_600_000


def metrics(messages: list[RawRecord]) -> list[ParsedMetric]:
    found = list(parse_line_protocol(b"".join(message.value for message in messages)))
    assert all(isinstance(metric, ParsedMetric) for metric in found)
    return found


def series(ticks: list[list[RawRecord]], measurement: str, field: str) -> dict[str, list[tuple[int, float]]]:
    """Return (time, value) of one field by host."""
    values = defaultdict(list)
    for messages in ticks:
        for metric in metrics([one for one in messages if one.value.startswith(measurement.encode() + b",")]):
            values[metric.tags["host"]].append((metric.time_ns // 1_000_000, metric.fields[field]))
    return values


def incident_of(
    kind: IncidentKind, *, ticks: int, hosts: int = 28
) -> tuple[Incident, list[list[RawRecord]], list[Incident]]:
    """Return the first incident of a kind, with so many ticks of messages and all incidents of that time."""
    begun: list[Incident] = []
    sent = list(islice(Fleet(hosts, 7, START_MS, TEN_S, on_incident=begun.append), ticks))
    return next(incident for incident in begun if incident.kind is kind), sent, begun


def test_the_same_arguments_make_the_same_bytes() -> None:
    first, second = (list(islice(Fleet(20, 5, START_MS, TEN_S), 30)) for _ in range(2))
    assert first == second


def test_another_seed_makes_another_fleet() -> None:
    assert Fleet(20, 5, START_MS, TEN_S).tick() != Fleet(20, 6, START_MS, TEN_S).tick()


def test_a_tick_has_one_metric_of_each_measurement_and_host_at_its_time() -> None:
    fleet = Fleet(30, 1, START_MS, TEN_S)
    fleet.tick()
    messages = fleet.tick()
    assert len(messages) == 30 * MESSAGES_PER_HOST
    found = {(metric.measurement, metric.tags["host"]) for metric in metrics(messages)}
    assert len(found) == 30 * MESSAGES_PER_HOST
    assert {message.time_ms for message in messages} == {START_MS + TEN_S}
    assert {metric.time_ns for metric in metrics(messages)} == {(START_MS + TEN_S) * 1_000_000}
    assert all(re.fullmatch(rb"[^\n]+\n", message.value) for message in messages)


def test_the_key_is_the_resource_and_the_identity_is_in_the_tags() -> None:
    for message in Fleet(30, 1, START_MS, TEN_S).tick():
        (metric,) = metrics([message])
        identity = "/".join(metric.tags[name] for name in ("ns_id", "infra_id", "node_id"))
        assert message.key.decode() == identity
        assert metric.tags.keys() >= {"host", "csp", "region", "osType"}


def test_hosts_lie_in_several_clouds_and_regions_and_no_two_share_a_resource() -> None:
    hosts = Fleet(120, 1, START_MS, TEN_S).hosts
    assert len({host.resource for host in hosts}) == len({host.name for host in hosts}) == 120
    assert len({host.csp for host in hosts}) >= 5
    assert len({host.region for host in hosts}) == 10
    assert len({host.ns_id for host in hosts}) >= 2


def test_processor_shares_make_up_a_hundred_percent() -> None:
    for messages in islice(Fleet(50, 3, START_MS, TEN_S), 20):
        for metric in metrics(messages):
            if metric.measurement == "cpu":
                shares = [value for name, value in metric.fields.items() if name != "usage_active"]
                assert sum(shares) == pytest.approx(100.0, abs=1e-6)
                assert metric.fields["usage_active"] == pytest.approx(100.0 - metric.fields["usage_idle"], abs=1e-6)
                assert all(0.0 <= share <= 100.0 for share in shares)


def test_every_value_lies_in_its_range() -> None:
    for messages in islice(Fleet(50, 3, START_MS, TEN_S), 200):
        for metric in metrics(messages):
            assert all(value >= 0 for value in metric.fields.values()), metric
            if metric.measurement in {"mem", "disk"}:
                assert metric.fields["used_percent"] <= 100.0
                assert metric.fields["used"] <= metric.fields["total"]


def test_counters_grow_except_where_the_truth_has_a_reset() -> None:
    reset, sent, begun = incident_of(IncidentKind.COUNTER_RESET, ticks=30)
    resets = {incident.host: incident.start_ms for incident in begun if incident.kind is IncidentKind.COUNTER_RESET}
    for measurement, field in (("net", "bytes_recv"), ("diskio", "write_bytes"), ("system", "uptime")):
        for host, values in series(sent, measurement, field).items():
            fallen = [now_ms for (_, before), (now_ms, value) in pairwise(values) if value < before]
            assert fallen == ([resets[host]] if host in resets else [])
    assert reset.host in resets


def test_a_spike_is_seen_on_the_host_and_for_the_time_that_the_truth_says() -> None:
    spike, sent, _ = incident_of(IncidentKind.CPU_SPIKE, ticks=40)
    values = series(sent, "cpu", "usage_active")[spike.host]
    during = [value for time_ms, value in values if spike.start_ms <= time_ms < spike.end_ms]
    outside = [value for time_ms, value in values if not spike.start_ms <= time_ms < spike.end_ms]
    assert min(during) > max(outside)


def test_a_burst_of_errors_is_seen_in_the_counter() -> None:
    burst, sent, _ = incident_of(IncidentKind.NET_ERRORS, ticks=40)
    values = dict(series(sent, "net", "err_in")[burst.host])
    assert values[burst.end_ms - TEN_S] - values[burst.start_ms - TEN_S] > 1000
    assert values[burst.start_ms - TEN_S] - values[START_MS] <= 2


@pytest.mark.parametrize(
    ("kind", "measurement"), [(IncidentKind.MEMORY_LEAK, "mem"), (IncidentKind.DISK_FILLING, "disk")]
)
def test_what_fills_up_grows_until_it_is_nearly_full(kind: IncidentKind, measurement: str) -> None:
    incident, sent, _ = incident_of(kind, ticks=200)
    values = dict(series(sent, measurement, "used_percent")[incident.host])
    third = (incident.end_ms - incident.start_ms) // 3 // TEN_S * TEN_S
    assert values[incident.start_ms] < values[incident.start_ms + third] < values[incident.start_ms + 2 * third]
    assert values[incident.end_ms - TEN_S] > 95.0


def test_a_level_shift_raises_the_average_for_its_time() -> None:
    shift, sent, _ = incident_of(IncidentKind.LEVEL_SHIFT, ticks=60)
    values = series(sent, "cpu", "usage_active")[shift.host]
    before = [value for time_ms, value in values if time_ms < shift.start_ms]
    during = [value for time_ms, value in values if shift.start_ms <= time_ms < shift.end_ms]
    assert sum(during) / len(during) - sum(before) / len(before) > 15.0


def test_a_silent_host_sends_nothing_in_that_time_and_its_counters_go_on_after_it() -> None:
    silence, sent, _ = incident_of(IncidentKind.HOST_SILENT, ticks=60)
    values = series(sent, "net", "bytes_recv")[silence.host]
    assert not [time_ms for time_ms, _ in values if silence.start_ms <= time_ms < silence.end_ms]
    before = max(time_ms for time_ms, _ in values if time_ms < silence.start_ms)
    after = min(time_ms for time_ms, _ in values if time_ms >= silence.end_ms)
    assert (before, after) == (silence.start_ms - TEN_S, silence.end_ms)
    assert dict(values)[after] > dict(values)[before]


def test_every_kind_begins_within_the_first_minute_of_a_demonstration() -> None:
    begun: list[Incident] = []
    list(islice(Fleet(50, 1, START_MS, 1000, on_incident=begun.append), 60))
    assert {incident.kind for incident in begun} == set(IncidentKind)
    assert min(incident.start_ms for incident in begun) <= START_MS + 15_000


def test_nothing_goes_wrong_while_it_is_calm() -> None:
    begun: list[Incident] = []
    list(islice(Fleet(50, 1, START_MS, 60_000, calm_ms=3_600_000, on_incident=begun.append), 64))

    assert len(begun) >= 7
    assert START_MS + 3_600_000 <= min(incident.start_ms for incident in begun) <= START_MS + 3_660_000


def test_no_host_has_two_incidents_at_a_time_and_all_lie_on_the_grid() -> None:
    begun: list[Incident] = []
    list(islice(Fleet(10, 1, START_MS, 60_000, on_incident=begun.append), 3000))
    assert len(begun) > 30
    for position, incident in enumerate(begun):
        assert incident.start_ms < incident.end_ms
        assert (incident.start_ms - START_MS) % 60_000 == (incident.end_ms - START_MS) % 60_000 == 0
        others = [other for other in begun[:position] if other.host == incident.host]
        assert all(other.end_ms <= incident.start_ms for other in others)


def test_the_load_follows_the_day_of_the_region_and_rests_at_the_weekend() -> None:
    sent = list(islice(Fleet(200, 2, START_MS, HOUR_MS), 7 * 24))
    hosts = {host.name: host for host in Fleet(200, 2, START_MS, HOUR_MS).hosts}
    by_hour, weekdays, weekends = defaultdict(list), [], []
    for name, values in series(sent, "cpu", "usage_active").items():
        for time_ms, value in values:
            local_ms = time_ms + round(hosts[name].utc_offset_hours * HOUR_MS)
            by_hour[local_ms // HOUR_MS % 24].append(value)
            monday_based = (local_ms - START_MS) // (24 * HOUR_MS) % 7
            (weekends if monday_based >= 5 else weekdays).append(value)
    mean = {hour: sum(values) / len(values) for hour, values in by_hour.items()}
    assert max(mean, key=mean.__getitem__) in range(13, 18)
    assert mean[15] > 1.5 * mean[3]
    assert sum(weekdays) / len(weekdays) > 1.2 * sum(weekends) / len(weekends)


def test_json_says_the_same_as_line_protocol() -> None:
    in_lines = metrics(Fleet(10, 4, START_MS, TEN_S).tick())
    in_json = [orjson.loads(one.value) for one in Fleet(10, 4, START_MS, TEN_S, message_format="json").tick()]
    assert [(one["name"], one["tags"], one["fields"], one["timestamp"] * 10**9) for one in in_json] == [
        (one.measurement, one.tags, one.fields, one.time_ns) for one in in_lines
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hosts": 0}, "a fleet has 1 to 200000 hosts, not 0"),
        ({"hosts": 200_001}, "a fleet has 1 to 200000 hosts"),
        ({"interval_ms": 0}, "the interval must be at least 1 ms, not 0"),
        ({"message_format": "xml"}, "unknown format 'xml': use one of influx, json"),
        ({"message_format": "json", "interval_ms": 1500}, "must be multiples of 1000 ms"),
    ],
)
def test_what_is_out_of_bounds_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Fleet(**{"hosts": 1, "seed": 1, "start_ms": START_MS, "interval_ms": TEN_S, **arguments})

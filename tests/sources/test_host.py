"""The metrics of the machine that runs the tests, in Telegraf's names."""

import pytest

from pipeline.core.records.telegraf.line_protocol import parse_line_protocol
from pipeline.core.records.telegraf.parsed import ParsedMetric
from pipeline.sources.host import HostMetric, collect, cpu_times, cpu_usage, disk_queues, encode, local_identity

NOW_MS = 1_780_000_000_123
IDENTITY = {"ns_id": "ns", "infra_id": "mci", "node_id": "n", "host": "h o", "region": ""}
NOTHING = dict.fromkeys(cpu_times(), 0.0)


def collected(previous: dict[str, float] | None) -> list[ParsedMetric]:
    messages, _ = collect(NOW_MS, previous, IDENTITY)
    assert {message.key for message in messages} == {b"ns/mci/n"}
    assert {message.time_ms for message in messages} == {NOW_MS}
    metrics = list(parse_line_protocol(b"".join(message.value for message in messages)))
    assert all(isinstance(metric, ParsedMetric) for metric in metrics)
    assert len(metrics) == len(messages)
    return metrics


def test_every_message_carries_identity_and_time() -> None:
    for metric in collected(NOTHING):
        assert metric.time_ns == NOW_MS * 1_000_000
        assert {"ns_id": "ns", "infra_id": "mci", "node_id": "n", "host": "h o"}.items() <= metric.tags.items()
        assert "region" not in metric.tags


def test_fields_are_named_as_telegraf_names_them() -> None:
    fields: dict[str, set[str]] = {}
    for metric in collected(NOTHING):
        fields.setdefault(metric.measurement, set()).update(metric.fields)
    assert fields["cpu"] == {
        *("usage_user", "usage_system", "usage_idle", "usage_nice", "usage_iowait", "usage_irq"),
        *("usage_softirq", "usage_steal", "usage_guest", "usage_guest_nice", "usage_active"),
    }
    assert fields["mem"] >= {"total", "used", "available", "used_percent"}
    assert fields["swap"] == {"total", "used", "free", "used_percent", "in", "out"}
    assert fields["system"] >= {"load1", "load5", "load15", "n_cpus", "n_users", "n_unique_users", "uptime"}
    assert fields["processes"] >= {
        *("running", "sleeping", "stopped", "blocked", "zombies", "idle", "total", "total_threads")
    }
    assert fields.get("netstat", {"tcp_established", "tcp_time_wait"}) >= {"tcp_established", "tcp_time_wait"}


def test_values_agree_with_each_other() -> None:
    by_name = {metric.measurement: metric for metric in reversed(collected(NOTHING))}
    memory = by_name["mem"].fields
    assert memory["used"] + memory["available"] == memory["total"]
    assert memory["used_percent"] == pytest.approx(100 * memory["used"] / memory["total"])
    processes = by_name["processes"].fields
    assert 1 <= processes["total"] <= processes["total_threads"]


def test_the_first_collection_has_no_processor_usage() -> None:
    assert "cpu" not in {metric.measurement for metric in collected(None)}


def test_processor_usage_is_the_share_of_the_time_between_two_readings() -> None:
    before = NOTHING | {"user": 10.0, "idle": 90.0}
    usage = cpu_usage(before, before | {"user": 13.0, "system": 1.0, "idle": 95.0, "guest": 1.0})
    assert usage["usage_user"] == pytest.approx(30.0)
    assert usage["usage_system"] == pytest.approx(10.0)
    assert usage["usage_guest"] == pytest.approx(10.0)
    assert usage["usage_idle"] == pytest.approx(50.0)
    assert usage["usage_active"] == pytest.approx(50.0)


def test_a_time_that_went_back_counts_as_nothing() -> None:
    before = NOTHING | {"iowait": 5.0}
    assert cpu_usage(before, NOTHING | {"iowait": 4.0, "user": 1.0})["usage_user"] == 100.0


def test_no_time_between_two_readings_is_no_usage() -> None:
    assert cpu_usage(NOTHING, NOTHING) == {}


def test_the_queue_of_a_disk_is_read_from_the_kernels_table() -> None:
    table = " 254 0 vda 195021 10 10575938 236814 97102 20 18205384 94190 3 53236 337207 0 0 0 0\nshort line\n"
    assert disk_queues(table) == {"vda": {"iops_in_progress": 3, "io_time": 53236, "weighted_io_time": 337207}}


def test_integers_carry_their_sign_and_names_are_escaped() -> None:
    metric = HostMetric("disk", {"path": "/mnt/my disk"}, {"used": 5, "used_percent": 0.5})
    assert encode(metric, {"host": "a"}, 7) == b"disk,host=a,path=/mnt/my\\ disk used=5i,used_percent=0.5 7000000\n"


def test_a_machine_of_no_infrastructure_has_an_identity() -> None:
    messages, _ = collect(NOW_MS, None, local_identity())
    assert messages[0].key.startswith(b"local/local/")

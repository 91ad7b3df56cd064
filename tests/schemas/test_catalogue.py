"""The metric catalogue keeps its promise of 57 + 17 + 16 metrics, each with the right kind."""

from collections import Counter

import pytest
from pydantic import ValidationError

from schemas.catalogue import Catalogue, load_catalogue


def test_every_group_has_the_promised_number_of_metrics() -> None:
    counts = Counter((metric.scope, metric.group) for metric in load_catalogue().metrics)

    assert counts == {
        ("vm", "cpu"): 19,
        ("vm", "memory"): 6,
        ("vm", "disk"): 14,
        ("vm", "network"): 10,
        ("vm", "process"): 8,
        ("mck8s", "cpu"): 2,
        ("mck8s", "memory"): 5,
        ("mck8s", "network"): 4,
        ("mck8s", "filesystem"): 6,
        ("mcis", "cpu"): 2,
        ("mcis", "memory"): 2,
        ("mcis", "fileio"): 2,
        ("mcis", "network"): 6,
        ("mcis", "db"): 4,
    }


def test_counters_are_what_grows_until_a_reset() -> None:
    by_measurement: dict[str, set[str]] = {}
    for measurement, field in load_catalogue().counters:
        by_measurement.setdefault(measurement, set()).add(field)

    assert by_measurement == {
        "diskio": {
            *("reads", "writes", "read_bytes", "write_bytes"),
            *("read_time", "write_time", "io_time", "weighted_io_time"),
        },
        "net": {
            *("bytes_sent", "bytes_recv", "packets_sent", "packets_recv"),
            *("err_in", "err_out", "drop_in", "drop_out"),
        },
        "kubernetes_node": {
            *("cpu_usage_core_nanoseconds", "memory_page_faults"),
            *("network_rx_bytes", "network_tx_bytes", "network_rx_errors", "network_tx_errors"),
        },
    }


@pytest.mark.parametrize(
    ("measurement", "field", "kind"),
    [
        ("net", "bytes_recv", "counter"),
        ("diskio", "iops_in_progress", "gauge"),
        ("system", "uptime", "gauge"),
        ("system", "n_cpus", "state"),
        ("mem", "bytes_recv", "gauge"),
        ("of_the_user", "anything", "gauge"),
    ],
)
def test_the_kind_goes_by_measurement_and_field_and_is_gauge_where_unknown(
    measurement: str, field: str, kind: str
) -> None:
    assert load_catalogue().kind_of(measurement, field) == kind


def test_percentages_range_from_0_to_100() -> None:
    ranges = {metric.valid_range for metric in load_catalogue().metrics if metric.unit == "%"}

    assert ranges == {(0, 100)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "meter"}, "Input should be 'gauge', 'counter' or 'state'"),
        ({"valid_range": (100, 0)}, "valid_range must go upwards"),
        ({"watched": True, "bad": "none"}, "a watched metric needs a bad direction"),
        ({"measurement": "cpu", "field": "usage_system"}, "a measurement and field may be there only once"),
        ({"name": "CPU system"}, "a name may be there only once"),
        ({"cycle_s": 30}, "cpu: its fields close in one window"),
        ({"scope": "mcis"}, "scope vm must have 57 metrics, got 56"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
    ],
)
def test_a_metric_that_breaks_a_rule_is_refused(change: dict[str, object], message: str) -> None:
    metrics = load_catalogue().model_dump()["metrics"]
    first = metrics[0] | change

    with pytest.raises(ValidationError, match=message):
        Catalogue.model_validate({"metrics": [first, *metrics[1:]]})

"""Which series are scored, and how: the first rule by id that matches, else the metric catalogue."""

from typing import Any

import pytest

from pipeline.core.detection.rules import DetectionRules, Watch, Zones, detection_rule
from schemas.catalogue import load_catalogue

ZONES = Zones("UTC", {"ap-*": "Asia/Seoul"})
NODE = {"ns_id": "ns1", "infra_id": "m1", "node_id": "n1", "region": "ap-northeast-2"}


def rules_of(*documents: dict[str, Any]) -> DetectionRules:
    return DetectionRules(
        load_catalogue(), ZONES, [detection_rule({"title": "t", **document}) for document in documents]
    )


def test_without_rules_the_catalogue_s_watched_metrics_are_scored_in_their_region_s_zone() -> None:
    rules = rules_of()
    assert rules.watch_of("cpu", "usage_active", NODE) == Watch("avg", "Asia/Seoul")
    assert rules.watch_of("net", "err_in", {}) == Watch("rate", "UTC")
    assert rules.watch_of("mem", "total", NODE) is None
    assert rules.watch_of("made_up", "x", NODE) is None


def test_a_rule_adds_a_metric_and_says_how() -> None:
    rules = rules_of(
        {
            "id": "queue",
            "where": {"measurement": "rabbit*", "field": "len?", "tags": {"queue": "in-*"}},
            "function": "max",
            "detector": "HalfSpaceTrees",
            "parameters": {"n_trees": 5},
            "levels": {"info": 2, "warn": 3, "critical": 4},
            "zone": "Europe/Berlin",
        }
    )
    watch = rules.watch_of("rabbitmq", "len1", {"queue": "in-1"})
    assert watch == Watch("max", "Europe/Berlin", "HalfSpaceTrees", (("n_trees", 5),), (2, 3, 4))
    assert rules.watch_of("rabbitmq", "len1", {"queue": "out"}) is None
    assert rules.watch_of("rabbitmq", "len1", {}) is None
    assert rules.watch_of("rabbitmq", "length", {"queue": "in-1"}) is None


def test_the_first_rule_by_id_counts_and_one_that_is_not_enabled_does_not() -> None:
    off = {"id": "a", "where": {"measurement": "cpu"}, "detector": "none"}
    on = {"id": "b", "where": {"measurement": "cpu"}, "function": "max"}
    assert rules_of(on, off).watch_of("cpu", "usage_active", NODE) is None
    watch = rules_of(on, off | {"enabled": False}).watch_of("cpu", "usage_active", NODE)
    assert watch == Watch("max", "Asia/Seoul")


def test_one_target_must_match_and_all_that_it_says() -> None:
    targets = [{"ns_id": "ns1", "node_id": "n2"}, {"ns_id": "ns2"}]
    rules = rules_of({"id": "a", "where": {"measurement": "cpu"}, "targets": targets, "detector": "none"})
    assert rules.watch_of("cpu", "usage_active", NODE) is not None
    assert rules.watch_of("cpu", "usage_active", NODE | {"node_id": "n2"}) is None
    assert rules.watch_of("cpu", "usage_active", NODE | {"ns_id": "ns2"}) is None
    assert rules.watch_of("cpu", "usage_active", {}) is not None


def test_other_levels_leave_what_was_learnt_as_it_is() -> None:
    one = Watch("avg", "UTC")
    assert one.learns_like(Watch("avg", "UTC", levels=(2, 3, 4)))
    assert not one.learns_like(Watch("max", "UTC"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "a/b"}, "String should match pattern"),
        ({"wher": {}}, "Extra inputs are not permitted"),
        ({"where": {"measurement": ""}}, "at least 1 character"),
        ({"function": "median"}, "Input should be 'avg', 'min'"),
        ({"detector": "os.system"}, "detector must be one of bank, "),
        ({"detector": "LODA", "parameters": {"depth": 3}}, "LODA takes n_bins, n_random_cuts, got 'depth'"),
        ({"detector": "HalfSpaceTrees", "parameters": {"height": 40}}, "parameters.height must be 0 to 12, got 40"),
        ({"detector": "LODA", "parameters": {"n_bins": 1e9}}, "parameters.n_bins must be 0 to 1000"),
        ({"parameters": {"n_bins": 3}}, "bank takes no parameters, got n_bins"),
        ({"levels": {"info": 1.0}}, "greater than or equal to 1.5"),
        ({"levels": {"warn": 1.9}}, "greater than or equal to 2"),
        ({"levels": {"warn": 3}}, "must go upwards, got info 1.5, warn 3.0, critical 2.5"),
        ({"zone": "../../etc/passwd"}, "must be a time zone of the IANA database"),
        ({"zone": "Mars/Olympus"}, "must be a time zone of the IANA database"),
    ],
)
def test_a_rule_with_a_mistake_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        detection_rule({"id": "a", "title": "t"} | change)

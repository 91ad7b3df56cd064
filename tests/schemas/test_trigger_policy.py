"""Trigger policies: the note's example is one, what is wrong in one is said by its key, and it survives JSON."""

import json
from datetime import timedelta
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from schemas.export import json_schemas
from schemas.trigger_policy import PolicyError, TriggerPolicy, trigger_policy

EXAMPLE = """
id: cpu-high
title: CPU too high
where: {measurement: cpu, field: usage_active, tags: {cpu: cpu-total}}
targets: [{ns_id: prod, infra_id: "*"}]
on: sample
function: last
compare: ">"
levels:
  info:     {fire: 60, reset: 50}
  warn:     {fire: 70, reset: 60}
  critical: {fire: 80, reset: 70}
pending: 0s
keep_firing: 90s
repeat: 1h
flap: {history: 21, low: 0.25, high: 0.5}
silence_after: 5m
channels: [ops-mail]
enabled: true
"""
LEVELS = {"warn": {"fire": 70, "reset": 60}}


def test_the_example_is_a_policy_although_yaml_takes_on_for_true() -> None:
    document = yaml.safe_load(EXAMPLE)
    policy = trigger_policy(document)

    assert True in document
    assert (policy.on, policy.repeat, policy.keep_firing) == ("sample", timedelta(hours=1), timedelta(seconds=90))
    assert policy.unused == ("silence_after",)


def test_a_policy_survives_json_and_is_what_the_exported_schema_says() -> None:
    policy = trigger_policy(yaml.safe_load(EXAMPLE))
    document = json.loads(policy.model_dump_json())

    assert trigger_policy(document) == policy
    assert document["repeat"] == "1h"
    Draft202012Validator(json.loads(json_schemas()["trigger_policy.json"])).validate(document)


def test_what_is_left_out_is_not_there() -> None:
    policy = trigger_policy({"id": "a", "levels": LEVELS})

    assert list(policy.levels.given()) == ["warn"]
    assert (policy.repeat, policy.flap, policy.targets, policy.where.measurement) == (timedelta(0), None, (), "*")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": None}, "id: should be a valid string"),
        ({"id": "a b"}, "id: .*should match pattern"),
        ({"levels": {}}, "levels: at least one of info, warn, critical is required"),
        ({"levels": {"warn": {"fire": "70"}}}, "levels.warn.fire: should be a valid number; got '70'"),
        ({"levels": {"warn": {"fire": True}}}, "levels.warn.fire: should be a valid number; got True"),
        ({"levels": {"warn": {"fire": float("nan")}}}, "levels.warn.fire: should be a finite number"),
        ({"levels": {"wran": {"fire": 1}}}, "levels.wran: unknown key; did you mean warn?"),
        ({"levels": {"warn": {"fire": 70, "reset": 71}}}, "levels.warn.reset: must be at most fire .70.0., got 71.0"),
        ({"compare": "<", "levels": {"warn": {"fire": 7, "reset": 6}}}, "reset: must be at least fire"),
        ({"levels": {"info": {"fire": 80}, "warn": {"fire": 70}}}, "levels.warn.fire: must be at least that of info"),
        ({"compare": "==", "levels": LEVELS}, "levels.warn.reset: there is none with compare =="),
        ({"compare": "=>"}, "compare: should be '>'"),
        ({"pending": 60}, "pending: must be a duration.*got 60"),
        ({"pending": "1 minute"}, "pending: '1 minute' is no duration"),
        ({"on": "forecast"}, "on: nothing produces forecasts yet; use sample, window, silence or anomaly"),
        ({"on": "silence"}, "silence_after: is required with on: silence"),
        ({"function": "avg"}, "function: a sample has only its last value, got 'avg'"),
        ({"flap": {"low": 0.6, "high": 0.5}}, "flap: low must be at most high"),
        ({"flap": {"history": 65}}, "flap.history: should be less than or equal to 64"),
        ({"channels": ["mail"], "scenario": "ops"}, "channels and scenario exclude each other"),
        ({"targets": [{"ns": "prod"}]}, r"targets\[0\].ns: unknown key; known: ns_id, infra_id"),
        ({"silence_afte": "5m"}, "silence_afte: unknown key; did you mean silence_after?"),
        ({"enabled": "yes"}, "enabled: should be a valid boolean"),
    ],
)
def test_what_is_wrong_is_said_by_its_key(change: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        trigger_policy({"id": "a", "levels": LEVELS} | change)


def test_every_mistake_is_said_at_once() -> None:
    with pytest.raises(PolicyError) as raised:
        trigger_policy({"levels": {"warn": {}}, "repeat": "often", "nonsense": 1})

    assert len(raised.value.mistakes) == 4


@pytest.mark.parametrize("document", [[], "x", None, 3])
def test_what_is_no_mapping_is_refused(document: Any) -> None:
    with pytest.raises(PolicyError, match="must be a mapping"):
        trigger_policy(document)


def test_silence_has_the_most_serious_level_that_is_given() -> None:
    silence = {"id": "a", "on": "silence", "silence_after": "5m"}

    assert trigger_policy(silence).severity == "critical"
    assert trigger_policy(silence | {"levels": {"info": {"fire": 0}, "warn": {"fire": 0}}}).severity == "warn"
    assert isinstance(trigger_policy(silence), TriggerPolicy)

"""Alerts on anomalies say why, and an incident of a host is one alert that names its series."""

from typing import Any

from pipeline.core.triggers.evaluator import PolicyEvaluator
from pipeline.core.triggers.inputs import ANOMALY, RecordInput
from schemas.anomaly import AnomalousSeries, Anomaly
from schemas.trigger_policy import trigger_policy

TAGS = {"host": "web-1"}
MINUTE_MS = 60_000


def anomaly(minute: int, **changes: Any) -> bytes:
    fields = {
        "kind": "anomaly",
        "measurement": "cpu",
        "field": "usage_active",
        "function": "avg",
        "tags": TAGS,
        "start_ms": minute * MINUTE_MS,
        "end_ms": (minute + 1) * MINUTE_MS,
        "value": 97.25,
        "score": 3.5,
        "level": "critical",
        "reason": "SPIKE",
        "text": "spike",
        "expected_low": 10.0,
        "expected_high": 42.5,
        "partition": 0,
        "offset": minute,
    }
    return Anomaly(**(fields | changes)).to_json()


def of_host(minute: int, state: str, score: float) -> bytes:
    named = AnomalousSeries(
        measurement="cpu", field="usage_active", tags=TAGS, score=3.5, level="warn", reason="SPIKE", text="spike"
    )
    return anomaly(
        minute,
        kind="host",
        measurement=None,
        field=None,
        function=None,
        value=None,
        expected_low=None,
        expected_high=None,
        state=state,
        level=None if state == "ended" else "warn",
        score=score,
        reason="INCIDENT_OVER" if state == "ended" else "MANY_SERIES",
        text="3 of 16 series are anomalous together: cpu usage_active: spike",
        incident_start_ms=0,
        rate=0.2,
        series_count=16,
        series=(named,),
    )


def evaluator(**where: str) -> PolicyEvaluator:
    levels = {"warn": {"fire": 2.0}, "critical": {"fire": 3.0}}
    policy = {"id": "odd", "title": "Odd", "where": where, "on": "anomaly", "compare": ">=", "levels": levels}
    made = PolicyEvaluator(0)
    made.put_policy(trigger_policy(policy), at_ms=0)
    return made


def test_the_text_of_an_alert_says_why_the_value_is_anomalous() -> None:
    reader = RecordInput(evaluator(measurement="cpu"), ANOMALY)
    calm = anomaly(1, kind="sample", score=0.0, level=None, reason=None, text=None)
    events = reader.evaluate(enumerate([anomaly(0), calm]))
    what = "Odd: cpu usage_active of web-1 is anomaly"
    assert [(event.level, event.text) for event in events] == [
        ("critical", f"{what} 3.5, >= 3: critical (FIRST_BREACH); spike: 97.25, expected 10 to 42.5"),
        (None, f"{what} 0, back beyond 3: OK (RECOVERED)"),
    ]


def test_an_incident_of_a_host_is_one_alert_that_names_its_series_and_ends_with_it() -> None:
    reader = RecordInput(evaluator(measurement="host", field="incident"), ANOMALY)
    records = [anomaly(0), of_host(0, "began", 2.5), anomaly(1), of_host(1, "grew", 3.5), of_host(2, "ended", 3.5)]
    events = reader.evaluate(enumerate(records))
    assert [(event.level, event.reason.value) for event in events] == [
        ("warn", "FIRST_BREACH"),
        ("critical", "LEVEL_UP"),
        (None, "RECOVERED"),
    ]
    assert len({event.alert_id for event in events}) == 1
    assert events[0].text.endswith("; 3 of 16 series are anomalous together: cpu usage_active: spike")
    assert not reader.refused

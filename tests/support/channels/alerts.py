"""Events of alerts for tests."""

from typing import Any

from schemas.alert import AlertEvent, AlertReason, AlertState


def alert_event(**changes: Any) -> AlertEvent:
    """Return the first event of an alert, with some fields as they are given."""
    fields = {
        "id": "e1",
        "alert_id": "a1",
        "sequence": 1,
        "policy": "cpu-high",
        "policy_hash": "h",
        "measurement": "cpu",
        "field": "usage_active",
        "tags": {"ns_id": "ns", "infra_id": "mci", "node_id": "web-1", "host": "web-1"},
        "resource": "ns/mci/web-1",
        "state": AlertState.FIRING,
        "previous_state": AlertState.OK,
        "level": "critical",
        "previous_level": None,
        "reason": AlertReason.FIRST_BREACH,
        "notify": True,
        "time_ms": 1_790_000_000_000,
        "value": 91.5,
        "threshold": 80.0,
        "repeat": 0,
        "evidence": None,
        "text": "CPU too high: cpu usage_active of ns/mci/web-1 is 91.5, > 80: critical",
    }
    return AlertEvent(**(fields | changes))

"""Alert events and actions as their topics have them, and an API fed with them."""

import json
from typing import Any

from pipeline.control.actions import apply_action
from pipeline.control.alerts import apply_event
from schemas.action import Action
from schemas.alert import AlertEvent, AlertReason, AlertState
from tests.support.control.api import Api

FIRING, OK, PENDING = AlertState.FIRING, AlertState.OK, AlertState.PENDING


def event(alert: str, sequence: int, state: AlertState, **more: Any) -> AlertEvent:
    level = "warn" if state is FIRING else None
    given = {
        "id": f"{alert}-{sequence}",
        "alert_id": alert,
        "sequence": sequence,
        "policy": "cpu-high",
        "policy_hash": "h",
        "measurement": "cpu",
        "field": "usage",
        "tags": {"ns_id": "a", "node_id": "vm-1"},
        "resource": "a/i/vm-1",
        "state": state,
        "previous_state": OK,
        "level": level,
        "previous_level": None,
        "reason": AlertReason.FIRST_BREACH,
        "notify": True,
        "time_ms": 1_790_000_000_000 + sequence,
        "value": 71.0,
        "threshold": 70.0,
        "repeat": 0,
        "evidence": None,
        "text": "cpu is 71",
    }
    return AlertEvent(**(given | more))


def action(key: str, attempt: int, **more: Any) -> Action:
    given = {
        "key": key,
        "attempt": attempt,
        "resource": "a/i/vm-1",
        "ns_id": "a",
        "alerts": [{"alert_id": "one", "event_id": "e", "policy": "cpu-high", "level": "warn"}],
        "scenario": "ops",
        "level": "warn",
        "step": 0,
        "channel": None,
        "script": "restart",
        "outcome": "sent",
        "reason": "DUE",
        "retry": False,
        "time_ms": 1_790_000_000_000 + attempt,
        "duration_ms": 5,
        "message": "sent",
    }
    return Action.model_validate_json(json.dumps(given | more))


def feed(api: Api, *records: AlertEvent | Action) -> list[bool]:
    with api.database.writing() as connection:
        return [
            apply_event(connection, record, api.clock())
            if isinstance(record, AlertEvent)
            else apply_action(connection, record)
            for record in records
        ]

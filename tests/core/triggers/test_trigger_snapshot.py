"""A restart of triggers: nothing forgotten, nobody notified again, and a state that is none refused."""

from typing import Any

import numpy as np
import pytest

from pipeline.core.snapshots.snapshot import Snapshot, pieces_of
from pipeline.core.triggers.evaluator import SAMPLES, PolicyEvaluator, TriggerSeries, TriggerState
from pipeline.core.triggers.state import COMPARISONS, REASONS, STATES
from schemas.alert import AlertReason, AlertState
from schemas.trigger_policy import trigger_policy

POLICY: dict[str, Any] = {"id": "p", "levels": {"warn": {"fire": 70, "reset": 60}}}
SILENCE: dict[str, Any] = {"id": "s", "on": "silence", "silence_after": "1m"}
CPU = TriggerSeries(SAMPLES, "cpu", "usage", {"host": "a"})


def sampled(evaluator: PolicyEvaluator, time_ms: int, value: float, name: TriggerSeries = CPU) -> list[str]:
    events = evaluator.evaluate(np.array([evaluator.series(name)]), np.array([time_ms]), np.array([value]), np.zeros(1))
    return [f"{event.policy} {event.reason.value}" for event in events]


def firing() -> PolicyEvaluator:
    evaluator = PolicyEvaluator()
    for document in (POLICY, SILENCE):
        evaluator.put_policy(trigger_policy(document), at_ms=0)
    sampled(evaluator, 0, 80)
    evaluator.series(CPU._replace(field="never sampled"))
    return evaluator


def restarted(evaluator: PolicyEvaluator) -> PolicyEvaluator:
    return PolicyEvaluator.restore(evaluator.snapshot())


def test_an_open_alert_is_open_after_a_restart_and_is_not_notified_again() -> None:
    evaluator = restarted(firing())

    assert (evaluator.open_count, [policy.id for policy in evaluator.policies]) == (1, ["p", "s"])
    assert sampled(evaluator, 1000, 81) == []
    assert sampled(evaluator, 2000, 50) == ["p RECOVERED"]


def test_a_policy_that_was_deleted_meanwhile_ends_its_alert() -> None:
    evaluator = restarted(firing())

    assert [event.reason.value for event in evaluator.delete_policy("p", at_ms=5)] == ["POLICY_DELETED"]


def test_a_silence_that_was_told_is_not_notified_again() -> None:
    evaluator = firing()
    assert len(evaluator.expire(60_000)) == 1
    evaluator = restarted(evaluator)

    assert evaluator.expire(1 << 40) == []
    assert sampled(evaluator, 1 << 40, 80) == ["s CAME_BACK"]


def test_a_series_that_was_forgotten_is_not_remembered() -> None:
    evaluator = firing()
    evaluator.delete_policy("s", at_ms=0)
    assert sampled(evaluator, 1000, 0) == ["p RECOVERED"]
    evaluator.forget(2000)
    evaluator = restarted(evaluator)

    assert evaluator.alert_count == 0
    assert sampled(evaluator, 3000, 80) == ["p FIRST_BREACH"]


def test_the_state_is_what_a_snapshot_takes() -> None:
    state = firing().snapshot()

    assert pieces_of(Snapshot(7, state.records, state.arrays))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.records.pop("series"), "no state of triggers: KeyError"),
        (lambda state: state.arrays.pop("notified"), "no state of triggers: KeyError"),
        (lambda state: state.records.update(series=b"[1]"), "no state of triggers: TypeError"),
        (lambda state: state.records.update(series=b"{"), "unexpected end of data"),
        (lambda state: state.records.update(policies=b'[{"id": "p"}]'), "levels: at least one"),
        (lambda state: state.arrays.update(policy=np.array([0, 9], np.int32)), "beyond the 2 that are there"),
        (lambda state: state.arrays.update(notified=np.zeros(1, np.int8)), r"one length, got \[1, 2\]"),
    ],
)
def test_what_is_no_state_is_refused(change: Any, message: str) -> None:
    state = firing().snapshot()
    change(state)

    with pytest.raises(ValueError, match=message):
        PolicyEvaluator.restore(TriggerState(state.records, state.arrays))


def test_a_snapshot_of_before_the_columns_were_renamed_is_read() -> None:
    state = firing().snapshot()
    for name in ("notified", "notified_ms"):
        state.arrays[name.replace("notified", "told")] = state.arrays.pop(name)

    evaluator = PolicyEvaluator.restore(state)

    assert sampled(evaluator, 1000, 81) == []
    assert sampled(evaluator, 2000, 50) == ["p RECOVERED"]


def test_a_policy_of_a_snapshot_that_compares_forecasts_is_left_out() -> None:
    state = firing().snapshot()
    old = b'{"id": "f", "on": "forecast", "levels": {"warn": {"fire": 1}}}'
    state.records["policies"] = b"[" + old + b"," + state.records["policies"][1:]
    state.arrays["policy"] += 1

    evaluator = PolicyEvaluator.restore(state)

    assert [policy.id for policy in evaluator.policies] == ["p", "s"]
    assert sampled(evaluator, 1000, 50) == ["p RECOVERED"]


def test_codes_in_snapshots_and_events_never_change_their_meaning() -> None:
    assert {code: state.value for code, state in STATES.items()} == {
        0: "OK",
        1: "PENDING",
        2: "FIRING",
        3: "RECOVERING",
        4: "NODATA",
        5: "FLAPPING",
    }
    assert {code: reason.value for code, reason in REASONS.items()} == {
        0: "PENDING",
        1: "PENDING_ENDED",
        2: "FIRST_BREACH",
        3: "LEVEL_UP",
        4: "LEVEL_DOWN",
        5: "REPEAT_DUE",
        6: "RECOVERING",
        7: "STILL_FIRING",
        8: "RECOVERED",
        9: "WENT_SILENT",
        10: "CAME_BACK",
        11: "FLAPPING",
        12: "FLAPPING_ENDED",
        13: "POLICY_CHANGED",
        14: "POLICY_DISABLED",
        15: "POLICY_DELETED",
    }
    assert (set(STATES.values()), set(REASONS.values())) == (set(AlertState), set(AlertReason))
    assert COMPARISONS == {">": 0, ">=": 1, "<": 2, "<=": 3, "==": 4, "!=": 5}

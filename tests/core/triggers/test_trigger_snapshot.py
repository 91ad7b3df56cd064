"""A restart of triggers: nothing forgotten, nothing told again, and a state that is none refused."""

from typing import Any

import numpy as np
import pytest

from pipeline.core.snapshots.snapshot import Snapshot, pieces_of
from pipeline.core.triggers.evaluator import SAMPLES, SeriesName, TriggerBank, TriggerState
from schemas.trigger_policy import trigger_policy

POLICY: dict[str, Any] = {"id": "p", "levels": {"warn": {"fire": 70, "reset": 60}}}
SILENCE: dict[str, Any] = {"id": "s", "on": "silence", "silence_after": "1m"}
CPU = SeriesName(SAMPLES, "cpu", "usage", {"host": "a"})


def sampled(bank: TriggerBank, time_ms: int, value: float, name: SeriesName = CPU) -> list[str]:
    events = bank.evaluate(np.array([bank.series(name)]), np.array([time_ms]), np.array([value]), np.zeros(1))
    return [f"{event.policy} {event.reason.value}" for event in events]


def firing() -> TriggerBank:
    bank = TriggerBank()
    for document in (POLICY, SILENCE):
        bank.put_policy(trigger_policy(document), at_ms=0)
    sampled(bank, 0, 80)
    bank.series(CPU._replace(field="never sampled"))
    return bank


def restarted(bank: TriggerBank) -> TriggerBank:
    again = TriggerBank()
    again.put(bank.take())
    return again


def test_an_open_alert_is_open_after_a_restart_and_is_not_told_again() -> None:
    bank = restarted(firing())

    assert (bank.open_count, [policy.id for policy in bank.policies]) == (1, ["p", "s"])
    assert sampled(bank, 1000, 81) == []
    assert sampled(bank, 2000, 50) == ["p RECOVERED"]


def test_a_policy_that_was_deleted_meanwhile_ends_its_alert() -> None:
    bank = restarted(firing())

    assert [event.reason.value for event in bank.delete_policy("p", at_ms=5)] == ["POLICY_DELETED"]


def test_a_silence_that_was_told_is_not_told_again() -> None:
    bank = firing()
    assert len(bank.expire(60_000)) == 1
    bank = restarted(bank)

    assert bank.expire(1 << 40) == []
    assert sampled(bank, 1 << 40, 80) == ["s CAME_BACK"]


def test_a_series_that_was_forgotten_is_not_remembered() -> None:
    bank = firing()
    bank.delete_policy("s", at_ms=0)
    assert sampled(bank, 1000, 0) == ["p RECOVERED"]
    bank.forget(2000)
    bank = restarted(bank)

    assert bank.alert_count == 0
    assert sampled(bank, 3000, 80) == ["p FIRST_BREACH"]


def test_the_state_is_what_a_snapshot_takes() -> None:
    state = firing().take()

    assert pieces_of(Snapshot(7, state.records, state.arrays))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.records.pop("series"), "no state of triggers: KeyError"),
        (lambda state: state.arrays.pop("told"), "no state of triggers: KeyError"),
        (lambda state: state.records.update(series=b"[1]"), "no state of triggers: TypeError"),
        (lambda state: state.records.update(series=b"{"), "unexpected end of data"),
        (lambda state: state.records.update(policies=b'[{"id": "p"}]'), "levels: at least one"),
        (lambda state: state.arrays.update(policy=np.array([0, 9], np.int32)), "beyond the 2 that are there"),
        (lambda state: state.arrays.update(told=np.zeros(1, np.int8)), r"one length, got \[1, 2\]"),
    ],
)
def test_what_is_no_state_is_refused(change: Any, message: str) -> None:
    state = firing().take()
    change(state)

    with pytest.raises(ValueError, match=message):
        TriggerBank().put(TriggerState(state.records, state.arrays))

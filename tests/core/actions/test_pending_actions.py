import pytest

from pipeline.core.actions.decisions import ActionPlanner, ActionRules, Item, Notification, ScriptRun
from pipeline.core.actions.pending import ActState, ActStateError, PendingActions
from pipeline.core.actions.script_guards import PastScriptRun, ScriptGuards
from schemas.action import ActionReason
from schemas.script import Script
from tests.support.channels.alerts import alert_event

ITEM = Item("k1", alert_event(), "ops", 0, ActionReason.DUE)
NOTIFICATION = Notification("m1", "mail", ("a@b",), (ITEM,))
SCRIPT_RUN = ScriptRun("restart", Item("k2", alert_event(), "ops", 1, ActionReason.DUE))


def test_a_state_is_after_a_restart_what_it_was() -> None:
    actions = ActionPlanner()
    actions.take(alert_event(), ActionRules({}, {}), 0)
    pending = PendingActions()
    pending.add(NOTIFICATION, 5)
    pending.add(SCRIPT_RUN, 6)
    guards = ScriptGuards([PastScriptRun("restart", "web-1", 7)])
    state = ActState.from_bytes(ActState(actions, pending, guards, {0: 8, 3: 9}, "log").to_bytes(10))
    assert state.pending.notifications == [(5, NOTIFICATION)]
    assert state.pending.script_runs == [(6, SCRIPT_RUN)]
    assert state.guards.runs == [PastScriptRun("restart", "web-1", 7)]
    assert (state.next_offsets, state.log_id, state.saved_ms) == ({0: 8, 3: 9}, "log", 10)
    assert state.actions.alerts.get("a1") == actions.alerts.get("a1")


def test_a_state_of_before_its_parts_were_renamed_is_read() -> None:
    actions = ActionPlanner()
    flapping = alert_event(state="FLAPPING", reason="FLAPPING")
    actions.take(flapping, ActionRules({}, {}), 0)
    pending = PendingActions([(5, NOTIFICATION)], [(6, SCRIPT_RUN)])
    value = ActState(actions, pending).to_bytes(10).decode()
    for new, old in (
        ("notifications", "messages"),
        ("script_runs", "runs"),
        ("notified", "told"),
        ('state\\":\\"FLAPPING', 'state\\":\\"SUPPRESSED'),
    ):
        assert new in value
        value = value.replace(new, old)
    state = ActState.from_bytes(value.encode())
    assert (state.pending.notifications, state.pending.script_runs) == ([(5, NOTIFICATION)], [(6, SCRIPT_RUN)])
    assert [alert.event for alert in state.actions.alerts] == [flapping]


@pytest.mark.parametrize("value", [b"", b"{}", b"[1]", b'{"actions": "{}"}'])
def test_what_is_no_state_is_refused(value: bytes) -> None:
    with pytest.raises(ActStateError, match="is not as it was written"):
        ActState.from_bytes(value)


def test_what_is_decided_again_keeps_its_first_time_and_what_is_finished_is_gone() -> None:
    pending = PendingActions()
    pending.add(NOTIFICATION, 5)
    pending.add(NOTIFICATION, 9)
    assert pending.notifications == [(5, NOTIFICATION)]
    pending.finish("m1")
    pending.finish("m1")
    assert len(pending) == 0


def script(**guards: object) -> Script:
    return Script.model_validate({"id": "restart", "file": "restart"} | guards)


def test_a_script_is_run_so_often_in_any_span() -> None:
    limited = script(rate={"count": 2, "within": "1m"}, blast_radius={"count": 9, "within": "1m"})
    guards = ScriptGuards()
    guards.note(limited, "a", 0)
    assert guards.refusal(limited, "a", 1) is None
    guards.note(limited, "a", 30_000)
    assert guards.refusal(limited, "a", 59_999) is ActionReason.RATE
    assert guards.refusal(limited, "a", 60_000) is None


def test_runs_that_no_limit_looks_at_are_forgotten() -> None:
    limited = script(rate={"count": 100, "within": "1m"}, blast_radius={"count": 1, "within": "10s"})
    guards = ScriptGuards()
    for second in range(1000):
        guards.note(limited, "a", 1000 * second)
    assert len(guards.runs) == 60

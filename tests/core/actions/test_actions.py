"""What is done about alerts: each step once at its time, one message a resource, a reason for what is not done."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.core.actions.decisions import ActionPlanner, ActionRules, Decision, Item, Notification, ScriptRun, Skip
from pipeline.core.actions.suppression import SuppressionRules, is_under_way
from schemas.action import ActionReason
from schemas.alert import AlertEvent, AlertReason, AlertState
from schemas.scenario import Scenario
from schemas.silence import Acknowledgement, Inhibition, Maintenance, Silence
from schemas.trigger_policy import trigger_policy

LEVELS = {"info": {"fire": 60}, "warn": {"fire": 70}, "critical": {"fire": 80}}
POLICY = trigger_policy({"id": "cpu-high", "levels": LEVELS, "scenario": "ops"})
SCENARIO = Scenario.model_validate(
    {
        "id": "ops",
        "group_window": "0s",
        "levels": {
            "warn": [{"notify": "mail"}],
            "critical": [
                {"notify": ["mail", "sms"]},
                {"after": "5m", "notify": "push"},
                {"after": "10m", "run": "restart"},
            ],
        },
    }
)
MINUTE_MS = 60_000
LONG_AGO, LONG_AFTER = "1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z"


def rules(policy: Any = POLICY, scenario: Scenario = SCENARIO, **suppression: Any) -> ActionRules:
    return ActionRules({policy.id: policy}, {scenario.id: scenario}, SuppressionRules(**suppression))


def event(minute: int, level: str | None, sequence: int, **changes: Any) -> AlertEvent:
    alert = changes.pop("alert_id", "a")
    reason = AlertReason.RECOVERED if level is None else AlertReason.FIRST_BREACH
    document = {
        "id": f"{alert}-{sequence}",
        "alert_id": alert,
        "sequence": sequence,
        "policy": "cpu-high",
        "policy_hash": "1",
        "measurement": "cpu",
        "field": "usage",
        "tags": {"host": "web-1", "rack": "r1"},
        "resource": "web-1",
        "state": AlertState.OK if level is None else AlertState.FIRING,
        "previous_state": AlertState.OK,
        "level": level,
        "previous_level": None,
        "reason": reason,
        "notify": True,
        "time_ms": minute * MINUTE_MS,
        "value": 1.0,
        "threshold": 1.0,
        "repeat": 0,
        "evidence": None,
        "text": "cpu is high",
    }
    return AlertEvent.model_validate(document | changes)


def said(decisions: list[Decision]) -> list[tuple[str, ...]]:
    """Return what was decided: channels and scripts, with the reasons."""
    found: list[tuple[str, ...]] = []
    for decision in decisions:
        match decision:
            case Notification(_, channel, _, items):
                found.append((channel, *(item.reason.value for item in items)))
            case ScriptRun(script, item):
                found.append((f"run {script}", item.reason.value))
            case Skip(target, by, item):
                found.append((f"not {target}", item.reason.value, by))
    return found


def due(actions: ActionPlanner, minute: float, of: ActionRules | None = None) -> list[tuple[str, ...]]:
    return said(actions.due(of or rules(), int(minute * MINUTE_MS)))


def taken(*events: AlertEvent, of: ActionRules | None = None) -> ActionPlanner:
    actions = ActionPlanner()
    for each in events:
        actions.take(each, of or rules(), each.time_ms)
    return actions


def test_steps_are_done_once_each_at_their_time() -> None:
    actions = taken(event(0, "critical", 1))

    assert due(actions, 0) == [("mail", "DUE"), ("sms", "DUE")]
    assert due(actions, 4.9) == []
    assert due(actions, 5) == [("push", "DUE")]
    assert due(actions, 10) == [("run restart", "DUE")]
    assert due(actions, 1000) == []


def test_a_recovery_stops_the_steps_and_is_sent_to_those_who_were_notified() -> None:
    actions = taken(event(0, "critical", 1))
    due(actions, 0)
    actions.take(event(1, None, 2), rules(), MINUTE_MS)

    assert due(actions, 60) == [("mail", "RECOVERED"), ("sms", "RECOVERED")]
    assert len(actions.alerts) == 0


def test_the_end_of_an_alert_that_nobody_was_notified_of_is_not_sent_whatever_was_before() -> None:
    actions = taken(event(0, "warn", 1))
    due(actions, 0)
    for each in (event(1, None, 2), event(2, "info", 3), event(3, None, 4)):
        actions.take(each, rules(), each.time_ms)

    assert due(actions, 3) == [("mail", "RECOVERED")]


def test_a_new_level_begins_its_steps() -> None:
    actions = taken(event(0, "warn", 1))
    assert due(actions, 0) == [("mail", "DUE")]
    actions.take(event(20, "critical", 2, reason=AlertReason.LEVEL_UP), rules(), 20 * MINUTE_MS)

    assert due(actions, 20) == [("mail", "DUE"), ("sms", "DUE")]
    assert due(actions, 25) == [("push", "DUE")]


def test_an_event_that_comes_again_changes_nothing() -> None:
    actions = taken(event(0, "critical", 1))
    due(actions, 0)
    actions.take(event(0, "critical", 1), rules(), 0)
    assert due(actions, 0) == []
    actions.take(event(1, None, 2), rules(), MINUTE_MS)
    actions.take(event(1, None, 2), rules(), MINUTE_MS)

    assert due(actions, 1) == [("mail", "RECOVERED"), ("sms", "RECOVERED")]
    assert due(taken(event(0, None, 2), event(5, "warn", 1)), 5) == [("mail", "DUE")]  # forgotten, and begun anew


def test_a_repetition_is_sent_to_those_who_were_notified() -> None:
    actions = taken(event(0, "warn", 1))
    due(actions, 0)
    again = event(60, "warn", 2, reason=AlertReason.REPEAT_DUE, repeat=1)
    actions.take(again, rules(), again.time_ms)

    assert due(actions, 60) == [("mail", "REPEATED")]


def test_alerts_of_one_resource_go_out_as_one_message() -> None:
    grouped = rules(scenario=SCENARIO.model_copy(update={"group_window": SCENARIO.levels.critical[1].after}))
    actions = taken(event(0, "warn", 1), event(0, "warn", 1, alert_id="b", field="idle"), of=grouped)
    actions.take(event(0, "warn", 1, alert_id="c", resource="web-2"), grouped, 0)
    assert due(actions, 0, grouped) == []
    actions.take(event(1, None, 2), grouped, MINUTE_MS)
    notifications = actions.due(grouped, 5 * MINUTE_MS)

    assert said(notifications) == [("mail", "DUE", "DUE", "RECOVERED"), ("mail", "DUE")]
    assert [
        [item.event.alert_id for item in each.items] for each in notifications if isinstance(each, Notification)
    ] == [
        ["a", "b", "a"],
        ["c"],
    ]


def test_a_policy_that_names_channels_tells_them_at_every_level() -> None:
    plain = rules(trigger_policy({"id": "cpu-high", "levels": LEVELS, "channels": ["ops"]}))
    actions = taken(event(0, "info", 1), of=plain)

    assert due(actions, 0, plain) == []
    assert due(actions, 0.2, plain) == [("ops", "DUE")]


@pytest.mark.parametrize(
    ("suppression", "reason", "by"),
    [
        (
            {"silences": [{"id": "s", "starts": LONG_AGO, "ends": LONG_AFTER, "alerts": {"levels": ["critical"]}}]},
            "SILENCED",
            "s",
        ),
        ({"maintenance": [{"id": "m", "start": "00:00", "duration": "1h", "alerts": {}}]}, "MAINTENANCE", "m"),
        ({"acknowledgements": {"a": {"id": "a", "sequence": 1, "time": LONG_AGO}}}, "ACKNOWLEDGED", "a"),
    ],
)
def test_what_suppresses_an_alert_is_said_once_and_the_steps_come_when_it_is_gone(
    suppression: dict[str, Any], reason: str, by: str
) -> None:
    models = {"silences": Silence, "maintenance": Maintenance}
    made = {
        name: {key: Acknowledgement.model_validate(value) for key, value in values.items()}
        if isinstance(values, dict)
        else [models[name].model_validate(value) for value in values]
        for name, values in suppression.items()
    }
    actions = taken(event(0, "critical", 1))

    assert due(actions, 0, rules(**made)) == [("not mail", reason, by), ("not sms", reason, by)]
    assert due(actions, 1, rules(**made)) == []
    assert due(actions, 2) == [("mail", "DUE"), ("sms", "DUE")]


def test_an_acknowledgement_of_an_earlier_time_does_not_count() -> None:
    earlier = Acknowledgement.model_validate({"id": "a", "sequence": 3, "time": LONG_AGO})
    actions = taken(event(0, "warn", 2), event(1, None, 3), event(2, "warn", 4))

    assert due(actions, 2, rules(acknowledgements={"a": earlier})) == [("mail", "DUE")]


INHIBITION = Inhibition.model_validate(
    {
        "id": "power",
        "source": {"policies": ["power-*"], "levels": ["critical"]},
        "targets": {"policies": ["cpu-*", "power-*"]},
        "equal": ["rack"],
    }
)


@pytest.mark.parametrize(
    ("source", "is_inhibited"),
    [
        ({}, True),
        ({"level": "warn"}, False),
        ({"tags": {"rack": "r2"}}, False),
        ({"state": AlertState.FLAPPING}, False),
    ],
)
def test_an_alert_that_another_one_explains_is_inhibited(source: dict[str, Any], is_inhibited: bool) -> None:
    power = trigger_policy({"id": "power-out", "levels": LEVELS})
    both = rules(inhibitions=[INHIBITION])
    both = both._replace(policies={**both.policies, power.id: power})
    cause = {"alert_id": "p", "policy": "power-out", "tags": {"rack": "r1"}, "level": "critical"} | source
    actions = taken(event(0, cause.pop("level"), 1, **cause), event(0, "warn", 1), of=both)

    assert due(actions, 0, both) == ([("not mail", "INHIBITED", "power")] if is_inhibited else [("mail", "DUE")])


def test_an_alert_that_keeps_changing_is_not_sent() -> None:
    flapping = event(0, "warn", 1, state=AlertState.FLAPPING, reason=AlertReason.FLAPPING)

    assert due(taken(flapping), 0) == [("not mail", "FLAPPING", "a")]


@pytest.mark.parametrize(
    ("of", "reason", "by"),
    [
        (ActionRules({}, {}), "UNKNOWN", "cpu-high"),
        (ActionRules({"cpu-high": POLICY}, {}), "UNKNOWN", "ops"),
        (rules(scenario=SCENARIO.model_copy(update={"enabled": False})), "DISABLED", "ops"),
    ],
)
def test_what_is_not_there_is_said_once(of: ActionRules, reason: str, by: str) -> None:
    actions = taken(event(0, "warn", 1))

    assert due(actions, 1, of) == [("not ", reason, by)]
    assert due(actions, 2, of) == []


def test_a_policy_that_is_not_known_yet_is_waited_for() -> None:
    actions = taken(event(0, "warn", 1))

    assert due(actions, 0, ActionRules({}, {})) == []
    assert due(actions, 0) == [("mail", "DUE")]


def test_a_silence_that_began_meanwhile_silences_the_end_too() -> None:
    silence = Silence.model_validate({"id": "s", "starts": LONG_AGO, "ends": LONG_AFTER, "alerts": {}})
    actions = taken(event(0, "warn", 1))
    due(actions, 0)

    skips = actions.take(event(1, None, 2), rules(silences=[silence]), MINUTE_MS)
    assert said([*skips]) == [("not mail", "SILENCED", "s")]


@pytest.mark.parametrize("lost_at", range(4))
def test_a_restart_does_nothing_twice_and_what_was_lost_again_with_the_same_keys(lost_at: int) -> None:
    steps = [event(0, "critical", 1), event(5, "critical", 2, reason=AlertReason.REPEAT_DUE), event(6, None, 3)]

    def run(actions: ActionPlanner, first: int) -> tuple[list[list[Decision]], list[bytes]]:
        decided, states = [], []
        for each in steps[first:]:
            states.append(actions.to_bytes())
            actions.take(each, rules(), each.time_ms)
            decided.append(actions.due(rules(), each.time_ms))
        return decided, [*states, actions.to_bytes()]

    whole, states = run(ActionPlanner(), 0)
    again, _ = run(ActionPlanner.from_bytes(states[lost_at]), lost_at)

    assert again == whole[lost_at:]
    keys = [decision.key for decisions in whole for decision in decisions if isinstance(decision, Notification)]
    assert len(set(keys)) == len(keys) == 8


NIGHTLY = {"id": "m", "start": "22:30", "duration": "3h", "zone": "Asia/Seoul", "alerts": {}}  # 13:30 to 16:30 UTC


@pytest.mark.parametrize(
    ("change", "moment", "expected"),
    [
        ({}, "2026-06-01T13:29:59Z", False),
        ({}, "2026-06-01T13:30:00Z", True),
        ({}, "2026-06-01T16:29:59Z", True),
        ({}, "2026-06-01T16:30:00Z", False),
        ({"days": ["mon"]}, "2026-06-01T15:30:00Z", True),  # Tuesday 00:30 in Seoul: it began on Monday
        ({"days": ["tue"]}, "2026-06-01T15:30:00Z", False),
        ({"duration": "3d"}, "2026-06-04T12:00:00Z", True),
        ({"days": ["mon"], "duration": "3d"}, "2026-06-04T13:29:00Z", True),
        ({"days": ["mon"], "duration": "3d"}, "2026-06-04T13:30:00Z", False),
        ({"first": "2026-06-01T13:30:01Z"}, "2026-06-01T14:00:00Z", False),
        ({"last": "2026-06-01T13:30:00Z"}, "2026-06-01T14:00:00Z", False),
        ({"enabled": False}, "2026-06-01T14:00:00Z", False),
        (
            {"zone": "Europe/Berlin", "start": "02:30", "duration": "30m"},
            "2026-03-29T01:45:00Z",
            True,
        ),  # 02:30 is left out
        (
            {"zone": "Europe/Berlin", "start": "02:30", "duration": "30m"},
            "2026-10-25T00:45:00Z",
            True,
        ),  # the first 02:30
        ({"zone": "Europe/Berlin", "start": "02:30", "duration": "30m"}, "2026-10-25T01:45:00Z", False),
    ],
)
def test_maintenance_comes_again_by_the_clock_of_its_zone(change: dict[str, Any], moment: str, expected: bool) -> None:
    window = Maintenance.model_validate(NIGHTLY | change)
    now_ms = round(datetime.fromisoformat(moment).astimezone(UTC).timestamp() * 1000)

    assert is_under_way(window, now_ms) is expected


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        (ActionReason.SILENCED, "suppressed"),
        (ActionReason.MAINTENANCE, "suppressed"),
        (ActionReason.INHIBITED, "suppressed"),
        (ActionReason.ACKNOWLEDGED, "suppressed"),
        (ActionReason.FLAPPING, "skipped"),
        (ActionReason.DISABLED, "skipped"),
        (ActionReason.UNKNOWN, "failed"),
    ],
)
def test_only_what_somebody_wants_quiet_is_suppressed(reason: ActionReason, outcome: str) -> None:
    item = Item("k", event(0, "warn", 1), "ops", 0, reason)

    assert Skip("mail", "s1", item).outcome.value == outcome

"""Triggers: what a series' samples lead to follows from them, in their order, and its policy alone."""

from typing import Any

import numpy as np
import pytest

from pipeline.core.triggers.evaluator import SAMPLES, PolicyEvaluator, TriggerSeries
from pipeline.core.triggers.level import change_share
from schemas.alert import AlertEvent
from schemas.trigger_policy import trigger_policy

LEVELS = {
    "info": {"fire": 60, "reset": 50},
    "warn": {"fire": 70, "reset": 60},
    "critical": {"fire": 80, "reset": 70},
}
CPU = TriggerSeries(SAMPLES, "cpu", "usage", {"host": "a", "ns_id": "prod"})
MINUTE_MS = 60_000
START_MS = 1_780_000_000_000
Notified = tuple[int, str | None, str]


def evaluator_of(*policies: dict[str, Any]) -> PolicyEvaluator:
    evaluator = PolicyEvaluator()
    for policy in policies:
        evaluator.put_policy(trigger_policy({"id": "p", "levels": LEVELS} | policy), at_ms=0)
    return evaluator


def run(
    evaluator: PolicyEvaluator, values: list[float], times: list[int] | None = None, name: TriggerSeries = CPU
) -> list[AlertEvent]:
    """Return the events of samples a minute apart, or at these minutes."""
    minutes = np.array(range(len(values)) if times is None else times)
    count = len(values)
    return evaluator.evaluate(
        np.full(count, evaluator.series(name)),
        START_MS + MINUTE_MS * minutes,
        np.array(values, float),
        np.arange(count),
    )


def notified(events: list[AlertEvent]) -> list[Notified]:
    """Return minute, level and reason of what one is notified."""
    return [(minute(event), event.level, event.reason.value) for event in events if event.notify]


def minute(event: AlertEvent) -> int:
    return (event.time_ms - START_MS) // MINUTE_MS


def test_levels_and_resets_are_kapacitors() -> None:
    events = run(evaluator_of({}), [61, 73, 64, 85, 62, 56, 47])

    assert notified(events) == [
        (0, "info", "FIRST_BREACH"),
        (1, "warn", "LEVEL_UP"),
        (3, "critical", "LEVEL_UP"),
        (4, "info", "LEVEL_DOWN"),
        (6, None, "RECOVERED"),
    ]
    assert [event.previous_level for event in events] == [None, "info", "warn", "critical", "info"]
    assert [event.threshold for event in events] == [60, 70, 80, 70, 50]
    assert [event.value for event in events] == [61, 73, 85, 62, 47]
    assert [event.state.value for event in events] == ["FIRING"] * 4 + ["OK"]


@pytest.mark.parametrize(
    ("compare", "at_fire", "at_reset"),
    [(">", None, "info"), (">=", "info", "info"), ("<", None, "info"), ("<=", "info", "info")],
)
def test_a_value_on_the_threshold(compare: str, at_fire: str | None, at_reset: str | None) -> None:
    beyond, reset = (61.0, 50) if compare.startswith(">") else (39.0, 50)
    fire = 60 if compare.startswith(">") else 40
    policy = {"compare": compare, "levels": {"info": {"fire": fire, "reset": reset}}}

    assert [event.level for event in run(evaluator_of(policy), [fire])] == ([at_fire] if at_fire else [])
    assert [event.level for event in run(evaluator_of(policy), [beyond, reset])][-1] == at_reset


@pytest.mark.parametrize(
    ("compare", "values", "levels"),
    [
        ("==", [1, 2, 3, 0], ["info", "warn", None]),
        ("!=", [1, 2], ["warn", "info"]),
        ("<", [5, 0.5, 5], ["warn", None]),
    ],
)
def test_every_comparison(compare: str, values: list[float], levels: list[str | None]) -> None:
    policy = {
        "compare": compare,
        "levels": {"info": {"fire": 1 if compare != "<" else 2}, "warn": {"fire": 2 if compare != "<" else 1}},
    }

    assert [event.level for event in run(evaluator_of(policy), values)] == levels


def test_a_level_that_is_left_out_never_fires() -> None:
    events = run(evaluator_of({"levels": {"warn": {"fire": 70}}, "compare": "!="}), [0, -5, 70])

    assert notified(events) == [(0, "warn", "FIRST_BREACH"), (2, None, "RECOVERED")]
    assert notified(run(evaluator_of({"levels": {"warn": {"fire": 70}}}), [1e9, 0, 69])) == [
        (0, "warn", "FIRST_BREACH"),
        (1, None, "RECOVERED"),
    ]


@pytest.mark.parametrize("compare", [">", "<", "!=", "=="])
def test_nan_never_fires_and_never_recovers(compare: str) -> None:
    levels = {"warn": {"fire": 70}}

    assert run(evaluator_of({"compare": compare, "levels": levels}), [np.nan, np.inf, -np.inf]) == []
    assert notified(run(evaluator_of({"levels": levels}), [71, np.nan, np.nan])) == [(0, "warn", "FIRST_BREACH")]


def test_it_fires_when_it_has_held_for_as_long_as_it_must() -> None:
    events = run(evaluator_of({"pending": "2m"}), [61, 61, 40, 61, 85, 85, 85, 40])

    assert [(minute(event), event.state.value, event.level, event.reason.value) for event in events] == [
        (0, "PENDING", None, "PENDING"),
        (2, "OK", None, "PENDING_ENDED"),
        (3, "PENDING", None, "PENDING"),
        (5, "FIRING", "info", "FIRST_BREACH"),  # 61 or more since minute 3
        (6, "FIRING", "critical", "LEVEL_UP"),  # 85 since minute 4
        (7, "OK", None, "RECOVERED"),
    ]


def test_it_stays_for_as_long_as_it_keeps_firing() -> None:
    events = run(evaluator_of({"keep_firing": "2m"}), [85, 40, 85, 40, 40, 40])

    assert [(minute(event), event.state.value, event.level, event.reason.value) for event in events] == [
        (0, "FIRING", "critical", "FIRST_BREACH"),
        (1, "RECOVERING", "critical", "RECOVERING"),
        (2, "FIRING", "critical", "STILL_FIRING"),
        (3, "RECOVERING", "critical", "RECOVERING"),
        (5, "OK", None, "RECOVERED"),
    ]
    assert notified(events) == [(0, "critical", "FIRST_BREACH"), (5, None, "RECOVERED")]


def test_it_is_told_again_while_it_lasts() -> None:
    events = run(evaluator_of({"repeat": "2m"}), [61, 61, 61, 61, 75, 75, 75, 75, 75, 0, 0, 0])

    assert [(minute(event), event.reason.value, event.repeat) for event in events] == [
        (0, "FIRST_BREACH", 0),
        (2, "REPEAT_DUE", 1),
        (4, "LEVEL_UP", 0),
        (6, "REPEAT_DUE", 1),
        (8, "REPEAT_DUE", 2),
        (9, "RECOVERED", 0),
    ]


def test_the_share_of_changes_is_icingas_worked_example() -> None:
    weights = [0.84, 0.86, 0.88, 0.9, 0.98, 1.06, 1.12, 1.18]
    changes = sum(1 << (19 - round((weight - 0.8) / 0.02)) for weight in weights)

    assert change_share(changes, 21) * 20 == pytest.approx(7.82)
    assert change_share(changes, 21) == pytest.approx(0.391)
    assert change_share((changes << 7) & ((1 << 20) - 1), 21) < 0.25


def test_an_alert_that_keeps_changing_is_told_no_more_until_it_is_calm() -> None:
    policy = {"levels": {"warn": {"fire": 70}}, "flap": {"history": 21, "low": 0.25, "high": 0.5}}
    events = run(evaluator_of(policy), [80, 0] * 10 + [80] * 20)

    share = [change_share((1 << changes) - 1, 21) for changes in range(21)]
    first = next(count for count in range(21) if share[count] > 0.5)
    assert [event.reason.value for event in events][-2:] == ["FLAPPING", "FLAPPING_ENDED"]
    assert len(events) == first + 1
    assert (minute(events[-2]), events[-2].state.value) == (first - 1, "FLAPPING")
    assert (events[-1].state.value, events[-1].level, events[-1].previous_level) == ("FIRING", "warn", events[-2].level)


def test_a_series_that_stops_is_told_once_and_again_when_it_is_back() -> None:
    silence = {"on": "silence", "silence_after": "5m", "levels": {}}
    evaluator = evaluator_of(silence)
    assert run(evaluator, [1, 1, 1], [0, 1, 2]) == []
    assert evaluator.expire(START_MS + 7 * MINUTE_MS - 1) == []
    for _ in range(3):
        later = evaluator.expire(START_MS + 7 * MINUTE_MS)
        assert notified(later) in ([(7, "critical", "WENT_SILENT")], [])
    back = run(evaluator, [1, 1], [20, 24])

    assert notified(back) == [(20, None, "CAME_BACK")]
    assert (back[0].previous_state.value, back[0].value, back[0].threshold) == ("NODATA", 18 * 60, 300)
    assert notified(evaluator.expire(START_MS + 100 * MINUTE_MS)) == [(29, "critical", "WENT_SILENT")]


def test_a_silence_that_nobody_noticed_is_told_as_if_it_had_been() -> None:
    silence = {"on": "silence", "silence_after": "5m", "levels": {"warn": {"fire": 1}}}
    unnoticed = evaluator_of(silence)
    events = run(unnoticed, [1, 1, 1], [0, 5, 20])
    noticed = evaluator_of(silence)
    step_by_step = run(noticed, [1, 1], [0, 5])
    step_by_step += noticed.expire(START_MS + 11 * MINUTE_MS)
    step_by_step += noticed.evaluate(
        np.array([noticed.series(CPU)]), np.array([START_MS + 20 * MINUTE_MS]), np.ones(1), np.array([2])
    )

    assert notified(events) == [(10, "warn", "WENT_SILENT"), (20, None, "CAME_BACK")]
    assert step_by_step == events


def test_a_sample_older_than_the_newest_changes_nothing_and_is_counted() -> None:
    evaluator = evaluator_of({})

    assert notified(run(evaluator, [61, 99, 45], [10, 9, 8])) == [(10, "info", "FIRST_BREACH")]
    assert evaluator.counts == (3, 2)
    assert notified(run(evaluator, [45], [10])) == [(10, None, "RECOVERED")]  # a correction of the newest counts


def test_a_policy_that_is_edited_keeps_what_did_not_change() -> None:
    evaluator = evaluator_of({})
    run(evaluator, [85], [0])
    edited = {"id": "p", "levels": {"warn": {"fire": 70}, "critical": {"fire": 90}}, "title": "new"}

    assert evaluator.put_policy(trigger_policy(edited), at_ms=START_MS) == []
    assert evaluator.open_count == 1
    assert notified(run(evaluator, [85], [1])) == [(1, "warn", "LEVEL_DOWN")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"where": {"measurement": "mem"}}, "POLICY_CHANGED"),
        ({"targets": [{"ns_id": "other"}]}, "POLICY_CHANGED"),
        ({"compare": "<", "levels": {"info": {"fire": 1}}}, "POLICY_CHANGED"),
        ({"on": "window"}, "POLICY_CHANGED"),
        ({"enabled": False}, "POLICY_DISABLED"),
        (None, "POLICY_DELETED"),
    ],
)
def test_an_alert_that_has_lost_its_policy_ends_with_the_reason(change: dict[str, Any] | None, reason: str) -> None:
    evaluator = evaluator_of({})
    run(evaluator, [85], [0])
    at_ms = START_MS + 5 * MINUTE_MS
    if change is None:
        events = evaluator.delete_policy("p", at_ms=at_ms)
    else:
        events = evaluator.put_policy(trigger_policy({"id": "p", "levels": LEVELS} | change), at_ms=at_ms)

    assert notified(events) == [(5, None, reason)]
    assert (events[0].previous_level, events[0].state.value, evaluator.open_count) == ("critical", "OK", 0)


def test_a_policy_that_comes_later_finds_the_series_that_are_there() -> None:
    evaluator = PolicyEvaluator()
    assert run(evaluator, [85]) == []
    evaluator.put_policy(trigger_policy({"id": "late", "levels": LEVELS}), at_ms=0)

    assert notified(run(evaluator, [85], [1])) == [(1, "critical", "FIRST_BREACH")]


def test_each_policy_has_an_alert_of_its_own_and_they_come_by_their_ids() -> None:
    names = ["b", "a", "c"]
    evaluator = evaluator_of(*({"id": name} for name in names[:2]))
    evaluator.series(CPU)
    evaluator.put_policy(trigger_policy({"id": "c", "levels": LEVELS}), at_ms=0)
    evaluator.put_policy(trigger_policy({"id": "0", "levels": LEVELS}), at_ms=0)
    evaluator.delete_policy("0", at_ms=0)
    evaluator.put_policy(trigger_policy({"id": "aa", "levels": LEVELS}), at_ms=0)

    assert [event.policy for event in run(evaluator, [85, 0])] == ["a", "aa", "b", "c"] * 2


def test_a_series_that_is_gone_is_forgotten_unless_an_alert_of_it_is_open() -> None:
    evaluator = evaluator_of({})
    other = CPU._replace(field="idle")
    run(evaluator, [85])
    run(evaluator, [1], name=other)
    number = evaluator.series(other)

    assert evaluator.forget(START_MS) == []
    assert evaluator.forget(START_MS + 1) == [number]
    assert evaluator.alert_count == 1
    assert evaluator.series(CPU._replace(field="third")) == number


def test_a_series_whose_silence_is_yet_to_be_told_is_not_forgotten() -> None:
    evaluator = evaluator_of({"on": "silence", "silence_after": "1h", "levels": {}})
    run(evaluator, [1])

    assert evaluator.forget(START_MS + MINUTE_MS) == []
    assert notified(evaluator.expire(START_MS + 60 * MINUTE_MS)) == [(60, "critical", "WENT_SILENT")]


def test_events_are_numbered_without_gaps_and_their_ids_are_those_of_any_other_run() -> None:
    events = run(evaluator_of({"pending": "1m", "repeat": "1m"}), [61, 61, 85, 85, 85, 85, 0])

    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert len({event.id for event in events}) == len(events)
    assert run(evaluator_of({"pending": "1m", "repeat": "1m"}), [61, 61, 85, 85, 85, 85, 0]) == events


def test_more_events_than_there_is_room_for_are_all_told() -> None:
    values = [85.0, 0.0] * 5000

    assert len(run(evaluator_of({"id": "a"}, {"id": "b"}), values)) == 20_000


def test_wrong_columns_are_refused() -> None:
    evaluator = evaluator_of({})
    with pytest.raises(ValueError, match=r"one length, got \[1, 2\]"):
        evaluator.evaluate(np.zeros(1), np.zeros(2), np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="series must be below 0, got 7"):
        evaluator.evaluate(np.array([7]), np.zeros(1), np.zeros(1), np.zeros(1))

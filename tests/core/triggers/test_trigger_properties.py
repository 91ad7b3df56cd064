"""Triggers on anything: the same events however samples are batched and whenever it is restarted."""

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.triggers.evaluator import SAMPLES, PolicyEvaluator, TriggerSeries
from schemas.alert import AlertEvent
from schemas.trigger_policy import TriggerPolicy, trigger_policy

SERIES = [TriggerSeries(SAMPLES, "cpu", "usage", {"host": host}) for host in "abc"]
Row = tuple[int, int, float]
"""Series, seconds, value."""

durations = st.sampled_from(["0s", "1s", "2s", "5s"])
values = st.sampled_from([0.0, 49.0, 50.0, 51.0, 59.0, 60.0, 61.0, 69.0, 70.0, 71.0, 85.0, float("nan")])
rows = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12), values), max_size=40)
in_order = st.lists(st.tuples(st.integers(0, 3), values), max_size=30)


@st.composite
def policies(draw: st.DrawFn, with_flap: bool = True) -> TriggerPolicy:
    levels: dict[str, Any] = {}
    for name, fire in (("info", 60), ("warn", 70), ("critical", 80)):
        if draw(st.booleans()) or name == "warn":
            levels[name] = {"fire": fire} | ({"reset": fire - 10} if draw(st.booleans()) else {})
    document = {
        "id": draw(st.sampled_from(["a", "b"])),
        "levels": levels,
        "pending": draw(durations),
        "keep_firing": draw(durations),
        "repeat": draw(durations),
    }
    if with_flap and draw(st.booleans()):
        document["flap"] = {"history": draw(st.integers(3, 8)), "low": 0.2, "high": draw(st.sampled_from([0.3, 0.5]))}
    return trigger_policy(document)


silences = durations.filter(lambda length: length != "0s").map(
    lambda length: trigger_policy({"id": "silent", "on": "silence", "silence_after": length})
)
any_policies = st.lists(st.one_of(policies(), silences), min_size=1, max_size=3, unique_by=lambda policy: policy.id)


def evaluator_of(chosen: list[TriggerPolicy]) -> PolicyEvaluator:
    evaluator = PolicyEvaluator(partition=3)
    for policy in chosen:
        evaluator.put_policy(policy, at_ms=0)
    return evaluator


def evaluated(evaluator: PolicyEvaluator, samples: list[Row], first_offset: int = 0) -> list[AlertEvent]:
    numbers = np.array([evaluator.series(SERIES[series]) for series, _, _ in samples], np.int64)
    times = np.array([1000 * seconds for _, seconds, _ in samples], np.int64)
    return evaluator.evaluate(
        numbers, times, np.array([value for *_, value in samples], float), first_offset + np.arange(len(samples))
    )


@settings(deadline=None)
@given(chosen=any_policies, samples=rows, cuts=st.lists(st.integers(0, 40), max_size=4))
def test_batches_and_restarts_change_nothing(chosen: list[TriggerPolicy], samples: list[Row], cuts: list[int]) -> None:
    whole = evaluator_of(chosen)
    expected = evaluated(whole, samples)

    found: list[AlertEvent] = []
    evaluator = evaluator_of(chosen)
    edges = sorted({0, len(samples), *(cut for cut in cuts if cut < len(samples))})
    for first, last in pairwise(edges):
        found += evaluated(evaluator, samples[first:last], first)
        evaluator = PolicyEvaluator.restore(evaluator.snapshot(), partition=3)

    assert found == expected
    assert evaluator.expire(20_000) == whole.expire(20_000)


@settings(deadline=None)
@given(
    after=silences,
    steps=st.lists(
        st.one_of(st.integers(0, 10).map(lambda s: ("sample", s)), st.integers(0, 10).map(lambda s: ("expire", s)))
    ),
)
def test_a_silence_is_told_once_at_a_time_that_depends_on_samples_alone(
    after: TriggerPolicy, steps: list[tuple[str, int]]
) -> None:
    evaluator = evaluator_of([after])
    seconds = 0
    sampled: list[int] = []
    events: list[AlertEvent] = []
    for what, passed in steps:
        seconds += passed
        if what == "sample":
            sampled.append(seconds)
            events += evaluated(evaluator, [(0, seconds, 1.0)])
        else:
            events += evaluator.expire(1000 * seconds - 1)
    at_the_end = evaluator.expire(10_000_000)

    assert after.silence_after is not None
    length_ms = int(after.silence_after.total_seconds() * 1000)
    times = [1000 * second for second in sampled]
    silent = [before + length_ms for before, then in pairwise([*times, 1 << 40]) if then - before > length_ms]
    notified = [event for event in [*events, *at_the_end] if event.reason.value == "WENT_SILENT"]
    assert [event.time_ms for event in notified] == silent
    assert [event.reason.value for event in events] == ["WENT_SILENT", "CAME_BACK"] * (len(events) // 2) + (
        ["WENT_SILENT"] if len(events) % 2 else []
    )


@settings(deadline=None)
@given(policy=policies(with_flap=False), steps=in_order)
def test_levels_are_those_of_the_definition(policy: TriggerPolicy, steps: list[tuple[int, float]]) -> None:
    seconds = 0
    history: list[Row] = []
    for passed, value in steps:
        seconds += passed
        history.append((0, seconds, value))

    events = evaluated(evaluator_of([policy]), history)
    assert [(event.time_ms, event.level) for event in events if event.level != event.previous_level] == defined(
        policy, history
    )


def defined(policy: TriggerPolicy, history: list[Row]) -> list[tuple[int, str | None]]:
    """Return the changes of level by going over the whole history for each sample."""
    seen = [(1000 * seconds, value) for _, seconds, value in history if not np.isnan(value)]
    names = ["info", "warn", "critical"]
    given = policy.levels.given()
    conditions: list[int] = []
    for _, value in seen:
        held = conditions[-1] if conditions else 0
        met = [i + 1 for i, name in enumerate(names) if name in given and value > given[name].fire]
        highest = max(met, default=0)
        reset = given[names[held - 1]].reset if held else None
        stays = highest < held and reset is not None and value >= reset
        conditions.append(held if stays else highest)
    pending_ms, keep_ms = (int(each.total_seconds() * 1000) for each in (policy.pending, policy.keep_firing))
    level, changes = 0, []
    for now, (time_ms, _) in enumerate(seen):
        firing = 0
        for wanted in range(1, 4):
            is_met = conditions[now] >= wanted
            since = now
            while since > 0 and (conditions[since - 1] >= wanted) == is_met:
                since -= 1
            lasted_ms = time_ms - seen[since][0]
            if (is_met and (wanted <= level or lasted_ms >= pending_ms)) or (
                not is_met and wanted <= level and lasted_ms < keep_ms
            ):
                firing = wanted
        if firing != level:
            changes.append((time_ms, names[firing - 1] if firing else None))
            level = firing
    return changes

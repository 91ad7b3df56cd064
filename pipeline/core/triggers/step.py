"""The alerts' step: samples in, what changed by them out; in the order of the batch, and of the policies' ids."""

import math

import numpy as np

from pipeline.core.compiled import Array, Ints, compiled, compiled_inline
from pipeline.core.triggers.level import compares, condition_level, deciding_threshold, firing_level, flaps, turn
from pipeline.core.triggers.state import (
    AT_ALERT,
    AT_SAMPLE,
    BECAME_FLAPPING,
    BECAME_PENDING,
    BECAME_RECOVERING,
    CAME_BACK,
    EQUAL,
    EVALUATIONS,
    EVENTS,
    FIRING,
    FIRST_BREACH,
    FLAPPING,
    FLAPPING_ENDED,
    LATE,
    LEVEL_DOWN,
    LEVEL_UP,
    MOST_EVENTS_A_STEP,
    NEVER,
    NODATA,
    NONE,
    OK,
    PENDING,
    PENDING_ENDED,
    RECOVERED,
    RECOVERING,
    REPEAT_DUE,
    STILL_FIRING,
    UNEQUAL,
    WENT_SILENT,
    Alerts,
    Events,
    Rules,
)

MS_A_SECOND = 1000.0


@compiled
def evaluate(
    series: Ints,
    time_ms: Ints,
    value: Array,
    offset: Ints,
    first: Array,
    seen_ms: Ints,
    rules: Rules,
    alerts: Alerts,
    events: Events,
) -> bool:
    """Evaluate samples from where ``events.counts`` says; False if ``events`` were full before all were.

    Parameters
    ----------
    series : int64[n]
        The samples' series; below 0 for one that nobody wants.
    time_ms, value, offset : int64[n], float64[n], int64[n]
        Event times, values (not finite: no sample), offsets of their records.
    first, seen_ms : int32[series], int64[series]
        Each series' first alert, and its newest event time.
    """
    counts = events.counts
    room = len(events.alert) - MOST_EVENTS_A_STEP
    for i in range(counts[AT_SAMPLE], len(series)):
        s = series[i]
        if s < 0 or not math.isfinite(value[i]):
            continue
        seen_ms[s] = max(seen_ms[s], time_ms[i])
        alert = first[s] if counts[AT_ALERT] == NONE else counts[AT_ALERT]
        while alert >= 0:
            if counts[EVENTS] > room:
                counts[AT_SAMPLE], counts[AT_ALERT] = i, alert
                return False
            counts[EVALUATIONS] += 1
            if time_ms[i] < alerts.last_ms[alert]:
                counts[LATE] += 1
            else:
                if not _changes_nothing(alert, time_ms[i], value[i], rules, alerts):
                    _step(alert, i, time_ms[i], value[i], offset[i], rules, alerts, events)
                alerts.last_ms[alert] = time_ms[i]
                alerts.last_offset[alert] = offset[i]
            alert = alerts.following[alert]
        counts[AT_ALERT] = NONE
    return True


@compiled
def expire(until_ms: int, rules: Rules, alerts: Alerts, used: int, events: Events) -> bool:
    """Let series be silent whose time is over at ``until_ms``; False if ``events`` were full before all were."""
    counts = events.counts
    room = len(events.alert) - MOST_EVENTS_A_STEP
    for alert in range(counts[AT_ALERT], used):
        policy = alerts.policy[alert]
        if policy < 0 or rules.silence_ms[policy] == 0:
            continue
        if alerts.last_ms[alert] == NEVER or alerts.state[alert] == NODATA:
            continue
        if alerts.last_ms[alert] + rules.silence_ms[policy] <= until_ms:
            if counts[EVENTS] > room:
                counts[AT_ALERT] = alert
                return False
            _fall_silent(alert, policy, rules, alerts, events)
    return True


@compiled_inline
def _changes_nothing(alert: int, time_ms: int, value: float, rules: Rules, alerts: Alerts) -> bool:
    """Return whether a sample leaves an alert as it is, which almost all do: nothing fires, nothing is silent."""
    policy = alerts.policy[alert]
    silence_ms = rules.silence_ms[policy]
    state = alerts.state[alert]
    if silence_ms > 0:
        return bool(state == OK and time_ms - silence_ms <= alerts.last_ms[alert])
    compare = rules.compare[policy]
    simple = compare != EQUAL and compare != UNEQUAL
    return state == OK and alerts.changes[alert] == 0 and simple and not compares(value, compare, rules.easiest[policy])


@compiled
def _step(
    alert: int, i: int, time_ms: int, value: float, offset: int, rules: Rules, alerts: Alerts, events: Events
) -> None:
    policy = alerts.policy[alert]
    if rules.silence_ms[policy] > 0:
        _note_sign_of_life(alert, i, time_ms, offset, policy, rules, alerts, events)
    else:
        _follow(alert, i, time_ms, value, offset, policy, rules, alerts, events)


@compiled
def _follow(
    alert: int,
    i: int,
    time_ms: int,
    value: float,
    offset: int,
    policy: int,
    rules: Rules,
    alerts: Alerts,
    events: Events,
) -> None:
    """Follow the condition, and write an event of what is new."""
    turn(alert, condition_level(value, alerts.target[alert], policy, rules), time_ms, alerts)
    level = firing_level(alert, time_ms, policy, rules, alerts)
    before = alerts.state[alert]
    flapping = flaps(alert, before == FLAPPING, level != alerts.level[alert], policy, rules, alerts)
    alerts.level[alert] = level
    notified = alerts.notified[alert]
    state = FLAPPING if flapping else _state(level, alerts.target[alert])
    reason = _reason(state, before, level, notified)
    if reason == NONE and _repeat_is_due(alert, time_ms, state, policy, rules, alerts):
        reason = REPEAT_DUE
    notify = reason != NONE
    if notify:
        alerts.repeats[alert] = alerts.repeats[alert] + 1 if reason == REPEAT_DUE else 0
    else:
        reason = _unnotified_reason(state, before)
    if reason == NONE:
        return
    wanted = alerts.target[alert] if reason == BECAME_PENDING else level
    threshold = deciding_threshold(wanted, notified, policy, rules)
    _write(alert, i, reason, state, level, notify, time_ms, value, threshold, time_ms, offset, alerts, events)


@compiled
def _repeat_is_due(alert: int, time_ms: int, state: int, policy: int, rules: Rules, alerts: Alerts) -> bool:
    every_ms = rules.repeat_ms[policy]
    lasts = alerts.level[alert] > 0 and state != FLAPPING
    return lasts and every_ms > 0 and time_ms - alerts.notified_ms[alert] >= every_ms


@compiled
def _state(level: int, target: int) -> int:
    if level == 0:
        return PENDING if target > 0 else OK
    return FIRING if target >= level else RECOVERING


@compiled
def _reason(state: int, before: int, level: int, notified: int) -> int:
    """Return why somebody is to be notified, NONE if nobody is."""
    if state == FLAPPING:
        return BECAME_FLAPPING if before != FLAPPING else NONE
    if before == FLAPPING:
        return FLAPPING_ENDED
    if level == notified:
        return NONE
    if notified == 0:
        return FIRST_BREACH
    if level == 0:
        return RECOVERED
    return LEVEL_UP if level > notified else LEVEL_DOWN


@compiled
def _unnotified_reason(state: int, before: int) -> int:
    """Return why the state changed when the level did not, NONE if nothing did."""
    if state == before:
        return NONE
    if state == PENDING:
        return BECAME_PENDING
    if state == RECOVERING:
        return BECAME_RECOVERING
    return STILL_FIRING if state == FIRING else PENDING_ENDED


@compiled
def _note_sign_of_life(
    alert: int, i: int, time_ms: int, offset: int, policy: int, rules: Rules, alerts: Alerts, events: Events
) -> None:
    """Note that a series sends; it was silent before if its time is over, whether anybody has noticed or not."""
    last_ms = alerts.last_ms[alert]
    if last_ms == NEVER:
        return
    if alerts.state[alert] != NODATA and time_ms - last_ms > rules.silence_ms[policy]:
        _fall_silent(alert, policy, rules, alerts, events)
    if alerts.state[alert] == NODATA:
        silent_s = (time_ms - last_ms) / MS_A_SECOND
        after_s = rules.silence_ms[policy] / MS_A_SECOND
        at_ms = max(time_ms, alerts.notified_ms[alert])
        notify = True
        alerts.level[alert] = 0
        _write(alert, i, CAME_BACK, OK, 0, notify, at_ms, silent_s, after_s, time_ms, offset, alerts, events)


@compiled
def _fall_silent(alert: int, policy: int, rules: Rules, alerts: Alerts, events: Events) -> None:
    """Let a series be silent since its last sample and the policy's time, however long ago that is."""
    at_ms = alerts.last_ms[alert] + rules.silence_ms[policy]
    after_s = rules.silence_ms[policy] / MS_A_SECOND
    level = rules.severity[policy]
    alerts.level[alert] = level
    last_ms = alerts.last_ms[alert]
    last = alerts.last_offset[alert]
    notify = True
    _write(alert, NONE, WENT_SILENT, NODATA, level, notify, at_ms, after_s, after_s, last_ms, last, alerts, events)


@compiled
def _write(
    alert: int,
    i: int,
    reason: int,
    state: int,
    level: int,
    notify: bool,
    time_ms: int,
    value: float,
    threshold: float,
    evidence_ms: int,
    evidence_offset: int,
    alerts: Alerts,
    events: Events,
) -> None:
    """Write an event, and let the alert be what it says."""
    at = events.counts[EVENTS]
    alerts.sequence[alert] += 1
    events.alert[at] = alert
    events.sample[at] = i
    events.sequence[at] = alerts.sequence[alert]
    events.reason[at] = reason
    events.state[at] = state
    events.previous_state[at] = alerts.state[alert]
    events.level[at] = level
    events.previous_level[at] = alerts.notified[alert]
    events.notify[at] = notify
    events.repeat[at] = alerts.repeats[alert] if reason == REPEAT_DUE else 0
    events.time_ms[at] = time_ms
    events.value[at] = value
    events.threshold[at] = threshold
    events.evidence_ms[at] = evidence_ms
    events.evidence_offset[at] = evidence_offset
    events.counts[EVENTS] = at + 1
    alerts.state[alert] = state
    if notify:
        alerts.notified[alert] = level
        alerts.notified_ms[alert] = time_ms


@compiled
def resolve(alert: int, reason: int, time_ms: int, alerts: Alerts, events: Events) -> None:
    """End an alert whose policy is no more; those who were notified of it are notified of its end."""
    notified = alerts.notified[alert] > 0
    last_ms = alerts.last_ms[alert]
    last = alerts.last_offset[alert]
    alerts.level[alert] = 0
    alerts.target[alert] = 0
    _write(alert, NONE, reason, OK, 0, notified, time_ms, np.nan, np.nan, last_ms, last, alerts, events)

"""Which level a value is of, by thresholds and resets, and which level fires, by pending and keep-firing."""

import math

from pipeline.core.compiled import compiled
from pipeline.core.triggers.state import (
    ABOVE,
    AT_LEAST,
    AT_MOST,
    BELOW,
    CRITICAL,
    EQUAL,
    Alerts,
    Rules,
)

_OLDEST_WEIGHT, _WEIGHTS_GROW = 0.8, 0.4
"""The newest change counts half as much again as the oldest: 0.8 to 1.2, as Kapacitor and Icinga have it."""


@compiled
def compares(value: float, compare: int, threshold: float) -> bool:
    """Return whether ``value`` compares so with ``threshold``; False if either is not a number."""
    if math.isnan(threshold) or math.isnan(value):
        return False
    if compare == ABOVE:
        return value > threshold
    if compare == AT_LEAST:
        return value >= threshold
    if compare == BELOW:
        return value < threshold
    if compare == AT_MOST:
        return value <= threshold
    if compare == EQUAL:
        return value == threshold
    return value != threshold


@compiled
def condition_level(value: float, held: int, policy: int, rules: Rules) -> int:
    """Return the level that a value is of when the one before it was of level ``held``.

    Notes
    -----
    As Kapacitor's alert node: a higher level, or the same again, fires at once; else the level stays until its own
    reset is passed; then the highest lower one counts whose fire is met, without regard to that one's reset.
    """
    compare = rules.compare[policy]
    for level in range(CRITICAL, max(held, 1) - 1, -1):
        if compares(value, compare, rules.fire[policy, level]):
            return level
    if held > 0:
        reset = rules.reset[policy, held]
        upwards = compare in (ABOVE, AT_LEAST)
        if not math.isnan(reset) and not (value < reset if upwards else value > reset):
            return held
    for level in range(held - 1, 0, -1):
        if compares(value, compare, rules.fire[policy, level]):
            return level
    return 0


@compiled
def turn(alert: int, target: int, time_ms: int, alerts: Alerts) -> None:
    """Note which level the condition is of, and since when it is, or is not, of each level or more."""
    before = alerts.target[alert]
    for level in range(min(before, target) + 1, max(before, target) + 1):
        alerts.turned_ms[alert, level] = time_ms
    alerts.target[alert] = target


@compiled
def firing_level(alert: int, time_ms: int, policy: int, rules: Rules, alerts: Alerts) -> int:
    """Return the level that fires now, of those that the condition is of, and those that are kept."""
    firing = alerts.level[alert]
    target = alerts.target[alert]
    for level in range(max(firing, target), 0, -1):
        lasted_ms = time_ms - alerts.turned_ms[alert, level]
        if level <= target:
            if level <= firing or lasted_ms >= rules.pending_ms[policy]:
                return level
        elif lasted_ms < rules.keep_ms[policy]:
            return level
    return 0


@compiled
def change_share(changes: int, history: int) -> float:
    """Return the weighted share of changes among ``history`` levels, of bits of which the newest is the lowest.

    Notes
    -----
    ``history`` levels have one change fewer between them; their weights go from 0.8 to almost 1.2 (over 21 levels in
    steps of 0.02), and their sum is divided by how many there can be: Kapacitor's, whose wrap-around is left out, and
    Icinga's documented one.
    """
    slots = history - 1
    found = 0
    places = 0
    for age in range(slots):
        if changes >> age & 1:
            found += 1
            places += slots - 1 - age
    return (_OLDEST_WEIGHT * found + _WEIGHTS_GROW * places / slots) / slots


@compiled
def flaps(alert: int, was_flapping: bool, changed: bool, policy: int, rules: Rules, alerts: Alerts) -> bool:
    """Note whether the level changed at this sample, and return whether the alert flaps."""
    history = rules.flap_history[policy]
    if history == 0:
        return False
    mask = (1 << (history - 1)) - 1
    alerts.changes[alert] = ((alerts.changes[alert] << 1) | (1 if changed else 0)) & mask
    if alerts.changes[alert] == 0:
        return False
    share = change_share(alerts.changes[alert], history)
    return bool(share >= rules.flap_low[policy] if was_flapping else share > rules.flap_high[policy])


@compiled
def deciding_threshold(level: int, before: int, policy: int, rules: Rules) -> float:
    """Return fire of the level it rose to or stayed at, or reset (without one: fire) of the one it left."""
    if level >= before:
        return float(rules.fire[policy, level])
    reset: float = rules.reset[policy, before]
    return float(rules.fire[policy, before]) if math.isnan(reset) else reset

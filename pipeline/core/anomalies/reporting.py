"""When a score is reported: what recurs daily is not, flat lines are, and each series has a budget with hysteresis."""

import math

import numpy as np

from pipeline.core.anomalies.state import (
    ALIVE,
    BUDGET,
    COUNT,
    EMITTED_AT,
    EQUAL_SHARE,
    HIGH_AT,
    HOLD,
    HOUR_PEAK,
    LAST_HOUR,
    LAST_VALUE,
    LONGEST_RUN,
    RECURRENCE,
    RUN,
    STEP,
    ScorerState,
)
from pipeline.core.compiled import compiled

FLAT_SCORE = 4.0
"""A line that stands still for thrice as long as it ever did is above the level critical, whatever the budget."""
YOUNG = 600
"""Samples of a series until which nothing is above info: false alerts are ten times as frequent there."""
_STILL = 0.2
"""The part of the usual step below which a value has not moved."""
_BUDGET_DECAY = math.exp(-1e-4)
_GOES_ON = 0.6
"""An incident goes on while scores are above this part of the greatest that was reported of it."""
_QUIET = 5
"""Samples without such a score after which it is over."""
_MORE = 0.5
"""What is reported again of an incident is greater by this."""
_APART = 120
"""Samples after the last report from which on the next incident stands for itself."""
_FADES = 30.0
"""Until then, what was reported of one that is over counts less, 1/e after so many samples; not in a young series."""


@compiled
def beyond_recurring(score: float, hour: int, row: int, state: ScorerState) -> float:
    """Give the score less what this hour has brought on the days before; then learn it."""
    s = state.number
    h = state.hour
    last = int(s[row, LAST_HOUR])
    if last != hour:
        if last >= 0:
            h[row, last, RECURRENCE] += 0.5 * (s[row, HOUR_PEAK] - h[row, last, RECURRENCE])
        s[row, HOUR_PEAK] = 0.0
        s[row, LAST_HOUR] = hour
    found = max(0.0, score - max(0.0, np.float64(h[row, hour, RECURRENCE]) - 1.5))
    if score > 1.5:
        s[row, HOUR_PEAK] = max(s[row, HOUR_PEAK], score)
    return found


@compiled
def flat_line(x: float, row: int, state: ScorerState) -> bool:
    """Return, once, True when a value stands (almost) still for longer than it ever has; then learn ``x``."""
    s = state.number
    t = s[row, COUNT]
    fires = False
    moved = abs(x - s[row, LAST_VALUE]) if t > 0 else 0.0
    usual = s[row, STEP]
    equal = t > 0 and moved <= max(1e-9 * abs(x), _STILL * usual)
    if t > 1 and usual > 0:
        moved = min(moved, 4.0 * usual)
    s[row, STEP] = usual + max(1.0 / (t + 1.0), 0.001) * (moved - usual)
    s[row, LONGEST_RUN] *= 0.9998
    run = s[row, RUN]  # below zero once it was reported
    if equal:
        was_reported = run < 0
        run = abs(run) + 1.0
        fires = not was_reported and run >= 3.0 * (s[row, LONGEST_RUN] + 4.0) and t >= 100 and s[row, EQUAL_SHARE] < 0.5
        s[row, RUN] = -run if was_reported or fires else run
    else:
        s[row, LONGEST_RUN] = max(s[row, LONGEST_RUN], abs(run))
        s[row, RUN] = 0.0
    s[row, EQUAL_SHARE] += max(1.0 / (t + 1.0), 0.001) * ((1.0 if equal else 0.0) - s[row, EQUAL_SHARE])
    s[row, LAST_VALUE] = x
    return fires


@compiled
def reported(score: float, row: int, state: ScorerState) -> float:
    """Return the score to report, or 0: once an incident unless it grows, and dearer the more a series reports."""
    s = state.number
    t = s[row, COUNT]
    if s[row, ALIVE] > 0:
        if score > _GOES_ON * s[row, HOLD]:
            s[row, HIGH_AT] = t
        elif t - s[row, HIGH_AT] > _QUIET:
            s[row, ALIVE] = 0.0
    s[row, BUDGET] *= _BUDGET_DECAY
    left = score - 0.4 * math.log1p(s[row, BUDGET])
    hold = s[row, HOLD]
    if s[row, ALIVE] == 0 and hold > -np.inf:
        if t - s[row, EMITTED_AT] > _APART:
            hold = -np.inf
            s[row, HOLD] = hold
        elif t >= YOUNG:
            hold *= math.exp(-(t - s[row, HIGH_AT]) / _FADES)
    if left <= 0 or left <= hold + _MORE:
        return 0.0
    s[row, HOLD] = left
    s[row, ALIVE] = 1.0
    s[row, HIGH_AT] = t
    s[row, EMITTED_AT] = t
    if left >= 1.5:
        s[row, BUDGET] += 1.0
    return left

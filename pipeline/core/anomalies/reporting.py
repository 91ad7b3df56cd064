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
"""Samples of a series until which nothing is above info: false alerts are ten times as frequent there (measured on the
benchmark's files)."""
_STILL = 0.2
"""Part of the usual step below which a value has not moved: with it faults found are .50 / .49, without .45 / .43."""
_BUDGET_DECAY = math.exp(-1e-4)
"""Of the budget, a sample: 1/e after 10,000, five weeks at five minutes. Half gives 76.3 / .57 / .66, double 75.9 /
.56 / .66."""
_PRICE = 0.4
"""What the logarithm of the reports in the budget takes off a score. Half gives 77.5 / .57 / .65, double 74.8 / .55 /
.69."""
_PRICED_FROM = 1.5
"""Scores from which a report counts in the budget: the level info."""
_USUAL_PEAK = 1.5
"""Scores above it are an hour's peak, and what it takes off the same hour's scores is what is beyond it: the level
info."""
_PEAK_GAIN = 0.5
"""The newest day's part in what an hour brings. Half gives 77.8 / .56 / .66, double 74.4 / .57 / .65."""
_STEP_GAIN = 0.001
"""A sample's part in the usual step and in the share of equal ones, once there were as many. Half gives 76.3 / .57 /
.65, double 76.2 / .55 / .65."""
_MOST_STEP = 4.0
"""Usual steps that one sample moves the usual step by at most. Half gives 76.3 / .57 / .65, double 76.3 / .56 / .65."""
_SAME = 1e-9
"""Values that differ by less than this part are equal: rounding of doubles that were printed and read."""
_RUN_DECAY = 0.9998
"""Of the longest run, a sample. Half gives 76.3 / .56 / .65, double 76.2 / .56 / .65."""
_TIMES_LONGEST, _RUN_PRIOR = 3.0, 4.0
"""A flat line is so many times the longest run and some samples more. Of the first, half gives 76.0 / .55 / .67,
double 75.8 / .54 / .63. Of the second, half gives 76.2 / .56 / .66, double 75.8 / .55 / .64."""
_FLAT_AFTER = 100
"""Samples before which nothing is a flat line: as many as the alphabets learn from. Half and double give 76.3 / .57 /
.65."""
_MOSTLY_STILL = 0.5
"""Share of equal samples from which standing still is usual. Half gives 76.3 / .53 / .61, double 76.3 / .58 / .65."""
_GOES_ON = 0.6
"""An incident goes on while scores are above this part of the greatest that was reported of it (hysteresis). With .5
one more leak in 21 is missed, with .7 faults found in real series fall to .51."""
_QUIET = 5
"""Samples without such a score after which it is over. Half gives 76.3 / .56 / .65, double 76.7 / .58 / .66."""
_MORE = 0.5
"""What is reported again of an incident is greater by this. Half gives 74.0 / .57 / .67, double 72.4 / .60 / .59."""
_APART = 120
"""Samples after the last report from which on the next incident stands for itself. Half gives 74.6 / .56 / .66, double
76.2 / .57 / .64."""
_FADES = 30.0
"""Until then, what was reported of one that is over counts less, 1/e after so many samples; not in a young series.
With 20, and half of a row kept: 76.9 / .55 / .65."""


@compiled
def beyond_recurring(score: float, hour: int, row: int, state: ScorerState) -> float:
    """Return the score less what this hour has brought on the days before; then learn it."""
    s = state.number
    h = state.hour
    last = int(s[row, LAST_HOUR])
    if last != hour:
        if last >= 0:
            h[row, last, RECURRENCE] += _PEAK_GAIN * (s[row, HOUR_PEAK] - h[row, last, RECURRENCE])
        s[row, HOUR_PEAK] = 0.0
        s[row, LAST_HOUR] = hour
    found = max(0.0, score - max(0.0, np.float64(h[row, hour, RECURRENCE]) - _USUAL_PEAK))
    if score > _USUAL_PEAK:
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
    equal = t > 0 and moved <= max(_SAME * abs(x), _STILL * usual)
    if t > 1 and usual > 0:
        moved = min(moved, _MOST_STEP * usual)
    s[row, STEP] = usual + max(1.0 / (t + 1.0), _STEP_GAIN) * (moved - usual)
    s[row, LONGEST_RUN] *= _RUN_DECAY
    run = s[row, RUN]  # below zero once it was reported
    if equal:
        was_reported = run < 0
        run = abs(run) + 1.0
        is_long = run >= _TIMES_LONGEST * (s[row, LONGEST_RUN] + _RUN_PRIOR)
        fires = not was_reported and is_long and t >= _FLAT_AFTER and s[row, EQUAL_SHARE] < _MOSTLY_STILL
        s[row, RUN] = -run if was_reported or fires else run
    else:
        s[row, LONGEST_RUN] = max(s[row, LONGEST_RUN], abs(run))
        s[row, RUN] = 0.0
    s[row, EQUAL_SHARE] += max(1.0 / (t + 1.0), _STEP_GAIN) * ((1.0 if equal else 0.0) - s[row, EQUAL_SHARE])
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
    left = score - _PRICE * math.log1p(s[row, BUDGET])
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
    if left >= _PRICED_FROM:
        s[row, BUDGET] += 1.0
    return left

"""The detectors' step: one sample in, its score and what is reported out; a batch in the order of its rows."""

import math
from typing import NamedTuple

import numpy as np

from pipeline.core.anomalies.calendar import Calendar, local_hour
from pipeline.core.anomalies.level import forecast, seasonal_levels, standardise
from pipeline.core.anomalies.novelty import novelty
from pipeline.core.anomalies.reporting import FLAT_SCORE, YOUNG, beyond_recurring, flat_line, reported
from pipeline.core.anomalies.state import (
    ABOVE,
    BELOW,
    BINS,
    COUNT,
    DRIFT,
    DRIFT_MEAN,
    DRIFTS,
    HOUR_DISTANCE,
    IN_A_ROW,
    INTERVAL_MS,
    LAST_MS,
    LAST_SEASONAL,
    LAST_Z,
    MEAN,
    RUN,
    SCALE,
    VARIANCE,
    ScorerState,
)
from pipeline.core.anomalies.surprise import surprise
from pipeline.core.compiled import Array, compiled

GREATEST = 1e150
"""Values beyond are taken for this, so that their squares are finite."""
INFO_SCORE, WARN_SCORE, CRITICAL_SCORE = 1.5, 2.0, 2.5
"""On the benchmark's series: 0.10, 0.022 and 0.007 false alerts a series and day (docs/explanation/anomalies.md)."""
NORMAL, INFO, WARN, CRITICAL = 0, 1, 2, 3
"""Codes of `schemas.severity.Severity`."""
NOTHING, SPIKE, DIP, LEVEL_SHIFT, UNUSUAL_HOUR, NEW_PATTERN, FLAT_LINE = 0, 1, 2, 3, 4, 5, 6
"""Codes of `scorer.Reason`."""

_DRIFT_SAMPLES = (12.0, 48.0, 192.0)
"""Samples of the drifts' means: an hour, four, and sixteen at five minutes. 8, 32, 128 gave 75.4 for 76.2, 16, 64, 256
73.7, with faults found as before or less."""
_MOST_DISTANCES = 8.0
"""Usual distances from the hour's value that a sample moves a drift by at most. With 5 faults found are .60 / .63 for
.56 / .64, but windows are lost (recall .67 for .73); with none .55 / .60."""
_INDEPENDENT = 3.5
"""What the squares of the four surprises are divided by: they are not independent. With 3: 74.6 for 76.2, .37 / .40
for .39 / .41."""
_KEPT = 0.8
"""The part of what residuals in a row add up to that the next one finds. With all of it 73.7 / .45 / .65, with half
76.9 / .55 / .65 and fewer leaks."""
_LEAST_IN_A_ROW = 1.5
"""The surprise below which a residual ends a row. Half gives 76.1 / .57 / .67, double 74.9 / .57 / .64."""
_MOST_TIMES_USUAL = 1000.0
"""Raw scores of other detectors beyond so many usual ones are taken for this: one division by almost 0 is no scale."""
_GAP = 10
"""Usual intervals without a sample after which the one before says nothing. Half gives 76.6 / .57 / .65, double 76.1 /
.57 / .65."""
_BAND_SURPRISE = 2.7
"""Of the expected band's edge; at most one to three of a hundred samples are beyond it."""
_WARM_UP = 30.0
"""Samples after which a score counts half. Half gives 75.1 / .57 / .67, double 75.0 / .57 / .67."""
_REACH_PART = 0.375
"""Of the way to the extremes, from which on a residual counts in full were there no root. Half gives 73.5 / .54 / .69,
double 74.0 / .56 / .63."""
_FIRST_SLOT_GAIN, _MOST_SLOT_GAIN, _SLOT_MS = 0.02, 0.2, 15_000_000.0
"""A sample's part in its hour's level: its interval in 4 hours 10 minutes, .02 at five minutes, so that an hour is not
forgotten within itself. Of the second, half and double give 76.3 / .57 / .65. Of the third, half gives 75.3 / .56 /
.65, double 76.8 / .57 / .67."""
_INTERVAL_GAIN, _MOST_INTERVALS = 0.05, 4.0
"""An interval's part in the usual one, over 20 of them, and how many it counts at most: a gap is no pace. Half gives
76.4 / .57 / .65, double 76.2 / .58 / .65."""
_DISTANCE_GAIN = 0.0005
"""A sample's part in the usual distance from the hour's value, over 2,000. Half gives 76.5 / .55 / .65, double 76.2 /
.56 / .65."""
_NEW, _HARDLY_DEVIATING = 0.7, 1.0
"""Novelty above which, and deviation below which, the reason is a new pattern: no part in the score."""
_BAND_AFTER = 100
"""Samples after which a band is given: as many as a tail needs (`surprise`)."""
_RAW_GAIN = 0.01
"""Of values that another detector scored, in the mean that tells a spike from a dip: over 100."""


class Scores(NamedTuple):
    """The scores of a batch of samples, in their order."""

    score: Array  # float64: the score that is reported, 0 where nothing is
    level: Array  # int8: NORMAL to CRITICAL
    reason: Array  # int8: NOTHING to FLAT_LINE
    low: Array  # float64: the expected band, in the value's unit; NaN while it is unknown
    high: Array  # float64


def score_samples(
    rows: Array, time_ms: Array, values: Array, zones: Array, calendar: Calendar, state: ScorerState, out: Scores
) -> bool:
    """Score a batch of samples, each by what its series was before it, then learn it; False if a row does not exist."""
    # numba takes arrays as they are, but looks into each named tuple anew: that was 1.7 µs of each call's 3.6
    found: bool = _score_samples(rows, time_ms, values, zones, *calendar, *state, *out)
    return found


@compiled
def _score_samples(
    rows: Array,
    time_ms: Array,
    values: Array,
    zones: Array,
    first: Array,
    change_ms: Array,
    offset_ms: Array,
    number: Array,
    tail: Array,
    histogram: Array,
    hours: Array,
    hour_count: Array,
    context: Array,
    pair: Array,
    score: Array,
    level: Array,
    reason: Array,
    low: Array,
    high: Array,
) -> bool:
    calendar = Calendar(first, change_ms, offset_ms)
    state = ScorerState(number, tail, histogram, hours, hour_count, context, pair)
    out = Scores(score, level, reason, low, high)
    for i in range(len(rows)):
        if rows[i] < 0 or rows[i] >= len(zones):
            return False
    for i in range(len(rows)):
        _clear(i, out)
        if math.isfinite(values[i]):
            x = min(max(values[i], -GREATEST), GREATEST)
            hour, free_day = local_hour(time_ms[i], zones[rows[i]], calendar)
            _score_sample(x, time_ms[i], hour, free_day, rows[i], state, i, out)
    return True


@compiled
def report_scores(
    rows: Array,
    raw_scores: Array,
    time_ms: Array,
    values: Array,
    zones: Array,
    calendar: Calendar,
    state: ScorerState,
    out: Scores,
) -> bool:
    """Score samples by the raw scores that another detector gave them; False if a row does not exist."""
    for i in range(len(rows)):
        if rows[i] < 0 or rows[i] >= len(zones):
            return False
    for i in range(len(values)):
        _clear(i, out)
        if math.isfinite(values[i]) and math.isfinite(raw_scores[i]):
            row = rows[i]
            hour, _ = local_hour(time_ms[i], zones[row], calendar)
            usual = state.number[row, SCALE + ABOVE]
            most = _MOST_TIMES_USUAL * usual if usual > 0 else GREATEST
            surprising = surprise(min(max(raw_scores[i], 0.0), most), ABOVE, row, state)
            mean = state.number[row, MEAN]
            state.number[row, MEAN] = mean + max(1.0 / (state.number[row, COUNT] + 1.0), _RAW_GAIN) * (values[i] - mean)
            reason = SPIKE if values[i] >= mean else DIP
            _report(surprising, reason, min(max(values[i], -GREATEST), GREATEST), hour, row, state, i, out)
    return True


@compiled
def _clear(i: int, out: Scores) -> None:
    out.score[i] = 0.0
    out.level[i] = NORMAL
    out.reason[i] = NOTHING
    out.low[i] = np.nan
    out.high[i] = np.nan


@compiled
def _score_sample(
    x: float, time_ms: int, hour: int, free_day: int, row: int, state: ScorerState, i: int, out: Scores
) -> None:
    s = state.number
    mean = s[row, MEAN]
    deviation = math.sqrt(s[row, VARIANCE])
    slot_gain = _pass_time(time_ms, row, state)
    z, most, least = standardise(x, row, state)
    y = math.copysign(math.log1p(abs(z)), z)
    seasonal, log_seasonal = seasonal_levels(z, y, hour, free_day, slot_gain, row, state)
    low, high = forecast(z, y, seasonal, row, state)
    if s[row, COUNT] >= _BAND_AFTER:
        out.low[i] = mean + deviation * (low - s[row, SCALE + BELOW] * _band_width(BELOW, row, state))
        out.high[i] = mean + deviation * (high + s[row, SCALE + ABOVE] * _band_width(ABOVE, row, state))
    over = max(z - high, 0.0)
    under = max(low - z, 0.0)
    rise = surprise(over, ABOVE, row, state) * _share_of_reach(over, most)
    fall = surprise(under, BELOW, row, state) * _share_of_reach(under, least)
    residual = max(rise, fall)
    squares = _add_to_row(rise, fall, row, state)
    drifting = 0.0
    distance = _bounded_distance(y - log_seasonal, row, state)
    for k in range(DRIFTS):
        s[row, DRIFT_MEAN + k] += (distance - s[row, DRIFT_MEAN + k]) / _DRIFT_SAMPLES[k]
        drift = surprise(abs(s[row, DRIFT_MEAN + k]), DRIFT + k, row, state)
        drifting = max(drifting, drift)
        squares += drift * drift
    deviating = math.sqrt(squares / _INDEPENDENT)
    by_pattern, by_hour = novelty(x, hour, row, state)
    new = 0.5 * (by_pattern + by_hour)
    if new > _NEW and deviating < _HARDLY_DEVIATING:
        reason = NEW_PATTERN if by_pattern >= by_hour else UNUSUAL_HOUR
    elif drifting > residual:
        reason = LEVEL_SHIFT
    else:
        reason = SPIKE if over > 0 else DIP
    _report(deviating + new, reason, x, hour, row, state, i, out)


@compiled
def _report(score: float, reason: int, x: float, hour: int, row: int, state: ScorerState, i: int, out: Scores) -> None:
    """Write what is reported of a score, and count the sample."""
    s = state.number
    t = s[row, COUNT]
    worth = beyond_recurring(score * t / (t + _WARM_UP), hour, row, state)
    if flat_line(x, row, state):
        worth = max(worth, FLAT_SCORE)
        reason = FLAT_LINE
    shown = reported(worth, row, state)
    s[row, COUNT] = t + 1.0
    out.score[i] = shown
    if shown < INFO_SCORE:
        return
    out.reason[i] = reason
    out.level[i] = INFO
    if t >= YOUNG and shown >= WARN_SCORE:
        out.level[i] = CRITICAL if shown >= CRITICAL_SCORE else WARN


@compiled
def _pass_time(time_ms: int, row: int, state: ScorerState) -> float:
    """Note the sample's time, forget the last value over a gap, and return how fast the hours of the day learn."""
    s = state.number
    if s[row, COUNT] == 0:
        s[row, LAST_MS] = time_ms
        return _FIRST_SLOT_GAIN
    passed = time_ms - s[row, LAST_MS]
    if passed > 0:
        usual = s[row, INTERVAL_MS]
        if usual > 0 and passed > _GAP * usual:
            s[row, LAST_Z] = s[row, LAST_SEASONAL]
            s[row, RUN] = 0.0
        bounded = min(passed, _MOST_INTERVALS * usual)
        s[row, INTERVAL_MS] = passed if usual == 0 else usual + _INTERVAL_GAIN * (bounded - usual)
        s[row, LAST_MS] = time_ms
    return min(_MOST_SLOT_GAIN, s[row, INTERVAL_MS] / _SLOT_MS)


@compiled
def _bounded_distance(distance: float, row: int, state: ScorerState) -> float:
    """Return the distance from the hour's value, at most some usual ones: one spike is no drift; then learn it."""
    s = state.number
    usual = s[row, HOUR_DISTANCE]
    if usual > 0:
        distance = min(max(distance, -_MOST_DISTANCES * usual), _MOST_DISTANCES * usual)
    s[row, HOUR_DISTANCE] = usual + max(1.0 / (s[row, COUNT] + 1.0), _DISTANCE_GAIN) * (abs(distance) - usual)
    return distance


@compiled
def _add_to_row(rise: float, fall: float, row: int, state: ScorerState) -> float:
    """Return the square of a residual's surprise, with what is left of those of the same side just before it.

    Values that step away from their forecast again and again, each time by a little, are as anomalous as one
    great step.
    """
    s = state.number
    before = s[row, IN_A_ROW]
    if rise > fall:
        found = rise * rise
        if rise > _LEAST_IN_A_ROW and before > 0:
            found += _KEPT * before
        s[row, IN_A_ROW] = found
        return found
    found = fall * fall
    if fall > _LEAST_IN_A_ROW and before < 0:
        found -= _KEPT * before
    s[row, IN_A_ROW] = -found
    return found


@compiled
def _share_of_reach(miss: float, reach: float) -> float:
    """Return less for a residual that is small beside the extremes: it is nothing that a person would look at."""
    return math.sqrt(math.sqrt(min(1.0, _REACH_PART * miss / reach)))


@compiled
def _band_width(side: int, row: int, state: ScorerState) -> float:
    """Return the residual of a side, in usual ones, whose surprise is that of the band's edge."""
    below = 0
    above = BINS
    while above - below > 1:
        middle = (below + above) // 2
        if state.tail[row, side, middle] >= _BAND_SURPRISE:
            above = middle
        else:
            below = middle
    return 2.0 ** ((above - 16) / 2)

"""The detectors' step: one sample in, what is told of it out; the rows of a batch in the order of the batch."""

import math
from typing import NamedTuple

import numpy as np

from pipeline.core.anomaly_alert import FLAT_SCORE, beyond_recurring, emitted, flat_line
from pipeline.core.anomaly_calendar import Calendar, local_hour
from pipeline.core.anomaly_level import forecast, seasonal_levels, standardise
from pipeline.core.anomaly_novelty import novelty
from pipeline.core.anomaly_state import (
    BINS,
    COUNT,
    INTERVAL_MS,
    LAST_MS,
    LAST_SEASONAL,
    LAST_Z,
    LONG_DRIFT,
    LONG_MEAN,
    MEAN,
    RESIDUAL,
    RUN,
    SCALE,
    SHORT_DRIFT,
    SHORT_MEAN,
    VARIANCE,
    Bank,
)
from pipeline.core.anomaly_surprise import surprise
from pipeline.core.compiled import compiled
from pipeline.core.series import Array

GREATEST = 1e150
"""Values beyond are taken for this, so that their squares are finite."""
YOUNG = 600
"""Samples of a series until which nothing is above info: false alerts are ten times as frequent there."""
INFO_SCORE, WARN_SCORE, CRITICAL_SCORE = 1.5, 2.1, 3.0
NORMAL, INFO, WARN, CRITICAL = range(4)
NOTHING, SPIKE, DIP, LEVEL_SHIFT, UNUSUAL_HOUR, NEW_PATTERN, FLAT_LINE = range(7)

_GAP = 10
"""Usual intervals without a sample after which the one before says nothing."""
_BAND_SURPRISE = 2.7
"""Of the expected band's edge; at most one to three of a hundred samples are beyond it."""


class Verdicts(NamedTuple):
    """What the detectors say of each sample of a batch."""

    score: Array  # float64: the score that is told, 0 where nothing is
    level: Array  # int8: NORMAL to CRITICAL
    reason: Array  # int8: NOTHING to FLAT_LINE
    low: Array  # float64: the expected band, in the value's unit; NaN while it is unknown
    high: Array  # float64


@compiled
def judge(
    rows: Array, time_ms: Array, values: Array, zones: Array, calendar: Calendar, bank: Bank, out: Verdicts
) -> bool:
    """Judge a batch of samples, each by what its series was before it, then learn it; False if there is no such row."""
    for i in range(len(rows)):
        if rows[i] < 0 or rows[i] >= len(zones):
            return False
    for i in range(len(rows)):
        _clear_verdict(i, out)
        if math.isfinite(values[i]):
            x = min(max(values[i], -GREATEST), GREATEST)
            hour, free_day = local_hour(time_ms[i], zones[rows[i]], calendar)
            _judge_sample(x, time_ms[i], hour, free_day, rows[i], bank, i, out)
    return True


@compiled
def judge_scored(
    scores: Array, time_ms: Array, values: Array, zones: Array, calendar: Calendar, bank: Bank, out: Verdicts
) -> None:
    """Judge samples of row 0 by the scores that another detector gave them."""
    for i in range(len(values)):
        _clear_verdict(i, out)
        if math.isfinite(values[i]) and math.isfinite(scores[i]):
            hour, _ = local_hour(time_ms[i], zones[0], calendar)
            strange = surprise(min(max(scores[i], 0.0), GREATEST), RESIDUAL, 0, bank)
            mean = bank.number[0, MEAN]
            bank.number[0, MEAN] = mean + max(1.0 / (bank.number[0, COUNT] + 1.0), 0.01) * (values[i] - mean)
            reason = SPIKE if values[i] >= mean else DIP
            _tell(strange, reason, min(max(values[i], -GREATEST), GREATEST), hour, 0, bank, i, out)


@compiled
def _clear_verdict(i: int, out: Verdicts) -> None:
    out.score[i] = 0.0
    out.level[i] = NORMAL
    out.reason[i] = NOTHING
    out.low[i] = np.nan
    out.high[i] = np.nan


@compiled
def _judge_sample(
    x: float, time_ms: int, hour: int, free_day: int, row: int, bank: Bank, i: int, out: Verdicts
) -> None:
    s = bank.number
    mean = s[row, MEAN]
    deviation = math.sqrt(s[row, VARIANCE])
    slot_gain = _pass_time(time_ms, row, bank)
    z, width = standardise(x, row, bank)
    y = math.copysign(math.log1p(abs(z)), z)
    seasonal, log_seasonal = seasonal_levels(z, y, hour, free_day, slot_gain, row, bank)
    expected = forecast(z, y, seasonal, row, bank)
    miss = abs(z - expected)
    s[row, SHORT_DRIFT] += (y - log_seasonal - s[row, SHORT_DRIFT]) / 24.0
    s[row, LONG_DRIFT] += (y - log_seasonal - s[row, LONG_DRIFT]) / 96.0
    scale = s[row, SCALE + RESIDUAL]
    # a residual that is small beside the whole range is nothing that a person would look at
    residual = surprise(miss, RESIDUAL, row, bank) * math.sqrt(math.sqrt(min(1.0, 0.75 * miss / width)))
    short = surprise(abs(s[row, SHORT_DRIFT]), SHORT_MEAN, row, bank)
    long = surprise(abs(s[row, LONG_DRIFT]), LONG_MEAN, row, bank)
    deviating = math.sqrt((residual * residual + short * short + long * long) / 3.0)
    by_pattern, by_hour = novelty(x, hour, row, bank)
    new = 0.5 * (by_pattern + by_hour)
    if new > 0.7 and deviating < 1.0:
        reason = NEW_PATTERN if by_pattern >= by_hour else UNUSUAL_HOUR
    elif max(short, long) > residual:
        reason = LEVEL_SHIFT
    else:
        reason = SPIKE if z >= expected else DIP
    if s[row, COUNT] >= 100:
        half = deviation * scale * _band_width(row, bank)
        centre = mean + deviation * expected
        out.low[i] = centre - half
        out.high[i] = centre + half
    _tell(deviating + new, reason, x, hour, row, bank, i, out)


@compiled
def _tell(score: float, reason: int, x: float, hour: int, row: int, bank: Bank, i: int, out: Verdicts) -> None:
    """Turn a score into a verdict, and count the sample."""
    s = bank.number
    t = s[row, COUNT]
    worth = beyond_recurring(score * t / (t + 30.0), hour, row, bank)
    if flat_line(x, row, bank):
        worth = max(worth, FLAT_SCORE)
        reason = FLAT_LINE
    told = emitted(worth, row, bank)
    s[row, COUNT] = t + 1.0
    out.score[i] = told
    if told < INFO_SCORE:
        return
    out.reason[i] = reason
    out.level[i] = INFO
    if t >= YOUNG and told >= WARN_SCORE:
        out.level[i] = CRITICAL if told >= CRITICAL_SCORE else WARN


@compiled
def _pass_time(time_ms: int, row: int, bank: Bank) -> float:
    """Note the sample's time, forget the last value over a gap, and give how fast the hours of the day learn."""
    s = bank.number
    if s[row, COUNT] == 0:
        s[row, LAST_MS] = time_ms
        return 0.02
    passed = time_ms - s[row, LAST_MS]
    if passed > 0:
        usual = s[row, INTERVAL_MS]
        if usual > 0 and passed > _GAP * usual:
            s[row, LAST_Z] = s[row, LAST_SEASONAL]
            s[row, RUN] = 0.0
        s[row, INTERVAL_MS] = passed if usual == 0 else usual + 0.05 * (min(passed, 4.0 * usual) - usual)
        s[row, LAST_MS] = time_ms
    return min(0.2, s[row, INTERVAL_MS] / 15_000_000.0)


@compiled
def _band_width(row: int, bank: Bank) -> float:
    """Give the residual, in usual ones, whose surprise is that of the band's edge."""
    below = 0
    above = BINS
    while above - below > 1:
        middle = (below + above) // 2
        if bank.tail[row, RESIDUAL, middle] >= _BAND_SURPRISE:
            above = middle
        else:
            below = middle
    return 2.0 ** ((above - 16) / 2)

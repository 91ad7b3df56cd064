"""What a value is usually: mean, spread, hour of the day, and a forecast mixed from experts."""

import math

import numpy as np

from pipeline.core.anomalies.state import (
    AUTO_COVARIANCE,
    AUTO_VARIANCE,
    BY_HOUR,
    BY_HOUR_EXPERT,
    CLASS_OFFSET,
    COUNT,
    ERROR,
    EXPERTS,
    FAST_LEVEL,
    HIGH,
    LAST_SEASONAL,
    LAST_Z,
    LOG_BY_HOUR,
    LOG_CLASS_OFFSET,
    LOW,
    MEAN,
    SLOW_LEVEL,
    SLOW_LOG_LEVEL,
    VARIANCE,
    ScorerState,
)
from pipeline.core.compiled import compiled

_SLOWEST_GAIN = 5e-5
"""A sample's part in mean, variance and extremes, once there were 20,000, ten weeks at five minutes. Half gives 76.3 /
.57 / .66, double 76.2 / .56 / .65."""
_NO_SPREAD = 1e-12
"""Deviations below it are none: what rounding leaves of a constant series; a division by it would be no scale."""
_MOST_Z = 20.0
"""Usual deviations that a value is from its mean at most, for all that follows. Half gives 75.9 / .55 / .66, double
75.9 / .57 / .65."""
_LEAST_REACH = 0.5
"""Usual deviations of the extremes from the mean at least. Half gives 75.9 / .57 / .66, double 77.0 / .60 / .66."""
_BOUNDED_AFTER, _MOST_STEP = 50, 1000.0
"""After so many samples one moves the mean by at most so many deviations: a value of 1e150 must not end a series. Of
the first, half and double give 76.3 / .57 / .65. Of the second, half and double give 76.3 / .57 / .65."""
_CLASS_PRIOR = 24.0
"""Samples of an hour on free or working days at which their offset counts half: two days at five minutes. Half gives
75.6 / .60 / .65, double 77.1 / .59 / .65."""
_MOST_COUNT = 60_000
"""Samples of an hour that are counted: a uint16 holds 65,535, and gains do not depend on more."""
_GAIN = 0.01
"""A sample's part in what is over 100 samples: errors, autocorrelation, the slow levels. Half gives 76.8 / .58 / .65,
double 76.7 / .55 / .66."""
_FAST_GAIN = 0.05
"""A sample's part in the fast level, over 20. Half gives 76.5 / .57 / .66, double 75.2 / .57 / .65."""
_SHARPNESS = 4.0
"""How much less an expert counts the worse it is than the best one: exp(-4 times the excess), as in exponentially
weighted forecasters (Cesa-Bianchi and Lugosi, "Prediction, Learning, and Games", 2006). Half gives 75.9 / .59 /
.68, double 76.7 / .58 / .66."""
_NEGLIGIBLE = 10.0
"""Excess from which on an expert is left out: its weight would be below exp(-40)."""
_MOST_SQUARED_ERROR = 25.0
"""Of an expert, five deviations: one spike is not to decide which is the best. Half gives 76.7 / .57 / .65, double
76.0 / .56 / .67."""
_MOST_RESIDUAL = 5.0
"""Deviations that a sample counts in the autocorrelation at most. Half gives 76.0 / .57 / .66, double 76.1 / .57 /
.65."""
_NO_ERROR = 1e-9
"""Added to errors before they divide, so that two of 0 are equally good."""


@compiled
def standardise(x: float, row: int, state: ScorerState) -> tuple[float, float, float]:
    """Return z, the value in standard deviations from its mean, and how far the extremes are from it; then learn ``x``.

    The extremes are at least half a standard deviation away: the greatest first, then the least.
    """
    s = state.number
    n = s[row, COUNT] + 1.0
    mean = s[row, MEAN]
    deviation = math.sqrt(s[row, VARIANCE])
    low = s[row, LOW]
    high = s[row, HIGH]
    known = deviation > _NO_SPREAD
    z = 0.0
    above = _LEAST_REACH
    below = _LEAST_REACH
    if known:
        if n > 2:
            z = min(max((x - mean) / deviation, -_MOST_Z), _MOST_Z)
        above = max((high - mean) / deviation, _LEAST_REACH)
        below = max((mean - low) / deviation, _LEAST_REACH)
    if n > 1:
        s[row, HIGH] = max(high + _SLOWEST_GAIN * (mean - high), x)
        s[row, LOW] = min(low + _SLOWEST_GAIN * (mean - low), x)
    else:
        s[row, HIGH] = x
        s[row, LOW] = x
    gain = max(1.0 / n, _SLOWEST_GAIN)
    step = x - mean
    if n > _BOUNDED_AFTER and known:
        step = min(max(step, -_MOST_STEP * deviation), _MOST_STEP * deviation)
    s[row, MEAN] = mean + gain * step
    s[row, VARIANCE] = (1.0 - gain) * (s[row, VARIANCE] + gain * step * step)
    return z, above, below


@compiled
def seasonal_levels(
    z: float, y: float, hour: int, free_day: int, slot_gain: float, row: int, state: ScorerState
) -> tuple[float, float]:
    """Return what z and its logarithm usually are at this hour; then learn them."""
    s = state.number
    h = state.hour
    seen = np.float64(state.hour_count[row, hour, 0])
    seen_class = np.float64(state.hour_count[row, hour, 1 + free_day])
    trust = seen_class / (seen_class + _CLASS_PRIOR)
    by_hour = np.float64(h[row, hour, BY_HOUR])
    log_by_hour = np.float64(h[row, hour, LOG_BY_HOUR])
    offset = np.float64(h[row, hour, CLASS_OFFSET + free_day])
    log_offset = np.float64(h[row, hour, LOG_CLASS_OFFSET + free_day])
    seasonal = (by_hour if seen > 0 else s[row, SLOW_LEVEL]) + trust * offset
    log_seasonal = (log_by_hour if seen > 0 else s[row, SLOW_LOG_LEVEL]) + trust * log_offset
    gain = max(slot_gain, 1.0 / (seen + 1.0))
    class_gain = max(slot_gain, 1.0 / (seen_class + 1.0))
    h[row, hour, CLASS_OFFSET + free_day] = offset + class_gain * (z - by_hour - offset)
    h[row, hour, LOG_CLASS_OFFSET + free_day] = log_offset + class_gain * (y - log_by_hour - log_offset)
    if seen > 0:
        h[row, hour, BY_HOUR] = by_hour + gain * (z - by_hour - trust * offset)
        h[row, hour, LOG_BY_HOUR] = log_by_hour + gain * (y - log_by_hour - trust * log_offset)
    else:
        h[row, hour, BY_HOUR] = z
        h[row, hour, LOG_BY_HOUR] = y
    if state.hour_count[row, hour, 0] < _MOST_COUNT:
        state.hour_count[row, hour, 0] += 1
    if state.hour_count[row, hour, 1 + free_day] < _MOST_COUNT:
        state.hour_count[row, hour, 1 + free_day] += 1
    return seasonal, log_seasonal


@compiled
def forecast(z: float, y: float, seasonal: float, row: int, state: ScorerState) -> tuple[float, float]:
    """Return the least and the greatest z that is expected; then let the experts learn.

    One end is the forecast, mixed from the experts by how well each has done. The other is nearer to the hour's value,
    the nearer the better that has done: a way back to what is usual, after something that was not, is no deviation.
    """
    s = state.number
    n = s[row, COUNT] + 1.0
    last = s[row, LAST_Z]
    above = last - s[row, LAST_SEASONAL]
    persistence = min(max(s[row, AUTO_COVARIANCE] / (s[row, AUTO_VARIANCE] + _NO_ERROR), -1.0), 1.0)
    predictions = (
        last,
        s[row, FAST_LEVEL],
        s[row, SLOW_LEVEL],
        seasonal,
        0.5 * (last + seasonal),
        seasonal + persistence * above,
    )
    least = s[row, ERROR]
    for k in range(1, EXPERTS):
        least = min(least, s[row, ERROR + k])
    usual_trust = (least + _NO_ERROR) / (s[row, ERROR + BY_HOUR_EXPERT] + _NO_ERROR)
    total = 0.0
    mixed = 0.0
    gain = max(1.0 / n, _GAIN)
    for k in range(EXPERTS):
        worse = (s[row, ERROR + k] + _NO_ERROR) / (least + _NO_ERROR) - 1.0
        if worse < _NEGLIGIBLE:
            weight = math.exp(-_SHARPNESS * worse)
            total += weight
            mixed += weight * predictions[k]
        miss = z - predictions[k]
        s[row, ERROR + k] += gain * (min(miss * miss, _MOST_SQUARED_ERROR) - s[row, ERROR + k])
    s[row, AUTO_VARIANCE] += gain * (above * above - s[row, AUTO_VARIANCE])
    residual = min(max(z - seasonal, -_MOST_RESIDUAL), _MOST_RESIDUAL)
    s[row, AUTO_COVARIANCE] += gain * (above * residual - s[row, AUTO_COVARIANCE])
    s[row, FAST_LEVEL] += max(1.0 / n, _FAST_GAIN) * (z - s[row, FAST_LEVEL])
    s[row, SLOW_LEVEL] += gain * (z - s[row, SLOW_LEVEL])
    s[row, SLOW_LOG_LEVEL] += gain * (y - s[row, SLOW_LOG_LEVEL])
    s[row, LAST_Z] = z
    s[row, LAST_SEASONAL] = seasonal
    expected = mixed / total
    usual = expected + usual_trust * (seasonal - expected)
    return min(expected, usual), max(expected, usual)

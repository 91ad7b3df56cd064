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
_NO_SPREAD = 1e-12


@compiled
def standardise(x: float, row: int, state: ScorerState) -> tuple[float, float, float]:
    """Give z, the value in standard deviations from its mean, and how far the extremes are from it; then learn ``x``.

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
    above = 0.5
    below = 0.5
    if known:
        if n > 2:
            z = min(max((x - mean) / deviation, -20.0), 20.0)
        above = max((high - mean) / deviation, 0.5)
        below = max((mean - low) / deviation, 0.5)
    if n > 1:
        s[row, HIGH] = max(high + _SLOWEST_GAIN * (mean - high), x)
        s[row, LOW] = min(low + _SLOWEST_GAIN * (mean - low), x)
    else:
        s[row, HIGH] = x
        s[row, LOW] = x
    gain = max(1.0 / n, _SLOWEST_GAIN)
    step = x - mean
    if n > 50 and known:
        step = min(max(step, -1000.0 * deviation), 1000.0 * deviation)
    s[row, MEAN] = mean + gain * step
    s[row, VARIANCE] = (1.0 - gain) * (s[row, VARIANCE] + gain * step * step)
    return z, above, below


@compiled
def seasonal_levels(
    z: float, y: float, hour: int, free_day: int, slot_gain: float, row: int, state: ScorerState
) -> tuple[float, float]:
    """Give what z and its logarithm usually are at this hour; then learn them."""
    s = state.number
    h = state.hour
    seen = np.float64(state.hour_count[row, hour, 0])
    seen_class = np.float64(state.hour_count[row, hour, 1 + free_day])
    trust = seen_class / (seen_class + 24.0)
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
    if state.hour_count[row, hour, 0] < 60000:
        state.hour_count[row, hour, 0] += 1
    if state.hour_count[row, hour, 1 + free_day] < 60000:
        state.hour_count[row, hour, 1 + free_day] += 1
    return seasonal, log_seasonal


@compiled
def forecast(z: float, y: float, seasonal: float, row: int, state: ScorerState) -> tuple[float, float]:
    """Give the least and the greatest z that is expected; then let the experts learn.

    One end is the forecast, mixed from the experts by how well each has done. The other is nearer to the hour's value,
    the nearer the better that has done: a way back to what is usual, after something that was not, is no deviation.
    """
    s = state.number
    n = s[row, COUNT] + 1.0
    last = s[row, LAST_Z]
    above = last - s[row, LAST_SEASONAL]
    persistence = min(max(s[row, AUTO_COVARIANCE] / (s[row, AUTO_VARIANCE] + 1e-9), -1.0), 1.0)
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
    usual_trust = (least + 1e-9) / (s[row, ERROR + BY_HOUR_EXPERT] + 1e-9)
    total = 0.0
    mixed = 0.0
    gain = max(1.0 / n, 0.01)
    for k in range(EXPERTS):
        worse = (s[row, ERROR + k] + 1e-9) / (least + 1e-9) - 1.0
        if worse < 10.0:
            weight = math.exp(-4.0 * worse)
            total += weight
            mixed += weight * predictions[k]
        miss = z - predictions[k]
        s[row, ERROR + k] += gain * (min(miss * miss, 25.0) - s[row, ERROR + k])
    s[row, AUTO_VARIANCE] += gain * (above * above - s[row, AUTO_VARIANCE])
    s[row, AUTO_COVARIANCE] += gain * (above * min(max(z - seasonal, -5.0), 5.0) - s[row, AUTO_COVARIANCE])
    s[row, FAST_LEVEL] += max(1.0 / n, 0.05) * (z - s[row, FAST_LEVEL])
    s[row, SLOW_LEVEL] += gain * (z - s[row, SLOW_LEVEL])
    s[row, SLOW_LOG_LEVEL] += gain * (y - s[row, SLOW_LOG_LEVEL])
    s[row, LAST_Z] = z
    s[row, LAST_SEASONAL] = seasonal
    expected = mixed / total
    usual = expected + usual_trust * (seasonal - expected)
    return min(expected, usual), max(expected, usual)

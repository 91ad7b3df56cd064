"""A chunk on its series' own scale: normalised values or increases, and which of them are extreme for it."""

import math

from pipeline.core.compiled import Array, compiled
from pipeline.core.downsampling.state import HIGH, LOW, MEAN, SCALE, SEEN, SIGNAL, EncodeScratch

VALUES_SIGNAL, INCREASES_SIGNAL = 1, 2
_TAIL = 0.02
"""Beyond the running quantiles of this share and of what is left of 1, values are rare. Half gives infrastructure 8.71
% .0326 .839, node 7.58 % .0272 .882, made 5.96 % .0269 .908; double infrastructure 8.74 % .0327 .849, node 7.59 %
.0276 .891, made 6.12 % .0271 .909."""
_RARE_COUNT = 4.0
"""How often a deviation beyond the running quantiles counts when levels are chosen: tails would be averaged away. Half
gives infrastructure 8.71 % .0326 .847, node 7.58 % .0273 .883, made 6.06 % .0269 .912; double infrastructure 8.74 %
.0333 .857, node 7.58 % .0275 .893, made 6.06 % .0270 .917."""
_GAPS = (1750, 701, 301, 132, 57, 23, 10, 4, 1)
"""Of Shell's sort (Ciura, 2001): kernels make no arrays, so numpy's is not to be had."""
_SCALE_FORGET = 0.05
"""A chunk's part in the usual deviation, once there were twenty of it. Half gives the same; double infrastructure 8.70
% .0327 .847, node 7.58 % .0273 .887, made 6.05 % .0270 .914."""
_QUANTILE_GAIN, _LEAST_QUANTILE_GAIN = 20.0, 2.0
"""Usual deviations that a quantile moves for each part of the samples that is beyond it too many: the first in a new
series, falling to the second. Of the first, half gives infrastructure 8.72 % .0328 .851, node 7.58 % .0275 .893,
made 6.02 % .0271 .919; double infrastructure 8.70 % .0331 .834, node 7.58 % .0274 .882, made 6.05 % .0270 .910. Of
the second, half gives infrastructure 8.71 % .0327 .852, made 6.04 % .0270 .910; double infrastructure 8.70 % .0327
.841, node 7.58 % .0275 .888, made 6.08 % .0270 .917."""


@compiled
def sort_signal(count: int, s: EncodeScratch) -> None:
    """Sort the signal into ``sorted``."""
    for i in range(count):
        s.sorted[i] = s.signal[i]
    for gap in _GAPS:
        for i in range(gap, count):
            value = s.sorted[i]
            j = i
            while j >= gap and s.sorted[j - gap] > value:
                s.sorted[j] = s.sorted[j - gap]
                j -= gap
            s.sorted[j] = value


@compiled
def learn_scale(count: int, signal: int, number: Array, s: EncodeScratch) -> None:
    """Add the chunk's sorted signal to the running mean, deviation and quantiles."""
    if number[SIGNAL] != signal:
        number[SIGNAL] = signal
        number[SEEN] = 0.0
    spread = s.sorted[count - 1] - s.sorted[0]
    mean, deviation = _moments(count, spread, s)
    seen = number[SEEN]
    low_place = s.sorted[int(_TAIL * count)]
    high_place = s.sorted[count - 1 - int(_TAIL * count)]
    if seen == 0.0:
        number[MEAN], number[SCALE] = mean, deviation
        number[LOW], number[HIGH] = low_place, high_place
    else:
        part = max(count / (seen + count), _SCALE_FORGET)
        number[SCALE] = _joined(number[SCALE], deviation, mean - number[MEAN], part)
        number[MEAN] += part * (mean - number[MEAN])
        _learn_quantiles(count, number, s)
    number[SEEN] = seen + count


@compiled
def _moments(count: int, spread: float, s: EncodeScratch) -> tuple[float, float]:
    if spread <= 0.0:
        return s.sorted[0], 0.0
    base = s.sorted[0]
    total, squares = 0.0, 0.0
    for i in range(count):
        z = (s.sorted[i] - base) / spread
        total += z
        squares += z * z
    mean = total / count
    return base + mean * spread, spread * math.sqrt(max(squares / count - mean * mean, 0.0))


@compiled
def _joined(old: float, new: float, apart: float, part: float) -> float:
    """Return the deviation of two mixed populations; scaled, since squares of great numbers are infinite."""
    unit = max(old, new, abs(apart))
    if unit <= 0.0:
        return 0.0
    a, b, d = old / unit, new / unit, apart / unit
    return unit * math.sqrt((1.0 - part) * a * a + part * b * b + part * (1.0 - part) * d * d)


@compiled
def _learn_quantiles(count: int, number: Array, s: EncodeScratch) -> None:
    """Move the running quantiles by how many of the chunk are beyond them (Robbins and Monro, 1951)."""
    gain = number[SCALE] * max(_QUANTILE_GAIN * count / (number[SEEN] + count), _LEAST_QUANTILE_GAIN)
    above, below = 0, 0
    while above < count and s.sorted[count - 1 - above] > number[HIGH]:
        above += 1
    while below < count and s.sorted[below] < number[LOW]:
        below += 1
    rise = gain * (above / count - _TAIL)
    fall = gain * (below / count - _TAIL)
    number[HIGH] += min(rise, s.sorted[count - 1] - number[HIGH]) if rise > 0.0 else rise
    number[LOW] -= min(fall, number[LOW] - s.sorted[0]) if fall > 0.0 else fall


@compiled
def stressed(value: float, number: Array) -> float:
    """Return a value moved further out as far as it is beyond the running quantiles."""
    if value > number[HIGH]:
        return number[HIGH] + _RARE_COUNT * (value - number[HIGH])
    if value < number[LOW]:
        return number[LOW] + _RARE_COUNT * (value - number[LOW])
    return value

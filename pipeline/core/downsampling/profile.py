"""What a series is like, and which encoder suits it."""

import math

from pipeline.core.compiled import Array, compiled
from pipeline.core.downsampling.state import (
    ANCHOR_READING,
    AUTO,
    BURST,
    CHANGES,
    CHUNKS,
    CLASS_COUNTER,
    CLASS_NOISY,
    CLASS_SMOOTH,
    CLASS_SPIKY,
    CLASS_STEP,
    CORRELATION,
    COUNTER,
    DECIMALS,
    FALLS,
    INTEGERS,
    LAST_VALUE,
    RISES,
    STATE,
    EncodeScratch,
)

NEAR_ZERO = 0.1
"""A fall to less than this part of the value before is taken for a counter's restart. Half and double give the same."""
MOST_DECIMALS = 6
"""Beyond them values are as good as any real number: Telegraf's percentages have fewer, and a double has fifteen
digits."""
_BURST_SHARE = 0.02
"""The part of a chunk's samples whose share of the squared deviations tells a spiky one. Half gives infrastructure
8.71 % .0329 .845, node 7.58 % .0274 .887; double infrastructure 8.72 % .0329 .846, node 7.58 % .0273 .889."""
_FORGET = 0.25
"""The newest chunk's part in a profile. Half gives infrastructure 8.69 % .0327 .838; double infrastructure 8.70 %
.0329 .850, node 7.58 % .0274 .889."""
_FEWEST = 8
"""Samples of a chunk below which it says too little of its series. Half gives infrastructure 8.70 % .0327 .846; double
infrastructure 8.70 % .0328 .848."""
_MOSTLY_RISING, _OFTEN_CHANGING = 0.98, 0.02
"""Shares of rises among changes, and of changes, from which whole numbers are a counter. Of the second, half and
double give the same."""
_UNCORRELATED = 0.3
"""Correlation of neighbours below which a series is noisy. Half gives infrastructure 8.70 % .0329 .848; double
infrastructure 8.69 % .0321 .834."""
_LOW_RATIO = 0.03
"""Below it lines have too few points to follow anything. The bench, at .1, does not reach it: not measured."""
_SPIKY = 0.25
"""The part of the squared deviations in the top samples from which a series is spiky. Half gives infrastructure 8.72 %
.0329 .846, node 7.58 % .0272 .893, made 6.06 % .0268 .910; double infrastructure 8.71 % .0328 .837, node 7.58 %
.0274 .887."""


@compiled
def changes_of(values: Array, count: int) -> int:
    """Count the samples that differ from the one before."""
    changes = 0
    for i in range(1, count):
        if values[i] != values[i - 1]:
            changes += 1
    return changes


@compiled
def learn_profile(values: Array, count: int, number: Array, s: EncodeScratch) -> None:
    """Add a chunk to what is known of its series."""
    _learn_decimals(values, count, number)
    if count < _FEWEST and number[CHUNKS] > 0:
        return
    changes, rises, falls, integers = 0, 0, 0, 0
    previous = values[0]
    if number[ANCHOR_READING] != 0:
        previous = number[LAST_VALUE]
    for i in range(count):
        value = values[i]
        if value != previous:
            changes += 1
            if value > previous:
                rises += 1
            elif not 0.0 <= value <= NEAR_ZERO * previous:
                falls += 1
        if value == math.floor(value):
            integers += 1
        previous = value
    part = max(_FORGET, 1.0 / (number[CHUNKS] + 1.0))
    _blend(number, CHANGES, changes / count, part)
    _blend(number, INTEGERS, integers / count, part)
    if changes:
        _blend(number, RISES, rises / changes, part)
        _blend(number, FALLS, falls / changes, part)
    _learn_shape(count, number, part, s)


@compiled
def choose_class(kind: int, changes: int, base: float, ratio: float, number: Array) -> int:
    """Return the class of a chunk with so many changes and a budget of ``base`` points."""
    if changes + 1 <= base or changes == 0:
        return CLASS_STEP  # this chunk, lossless, whatever the series is like
    if kind == COUNTER:
        return CLASS_COUNTER
    if kind == AUTO and number[INTEGERS] == 1.0 and number[CHANGES] > _OFTEN_CHANGING:
        if number[RISES] >= _MOSTLY_RISING and number[FALLS] == 0.0:
            return CLASS_COUNTER
    if kind == STATE or number[CHANGES] <= ratio:
        return CLASS_STEP
    if number[CORRELATION] < _UNCORRELATED or ratio < _LOW_RATIO:
        return CLASS_NOISY
    if number[BURST] >= _SPIKY:
        return CLASS_SPIKY
    return CLASS_SMOOTH


@compiled
def _blend(number: Array, column: int, seen: float, part: float) -> None:
    number[column] += part * (seen - number[column])


@compiled
def _learn_shape(count: int, number: Array, part: float, s: EncodeScratch) -> None:
    """Learn the correlation of neighbours and the burst share from the chunk's sorted values and its signal."""
    middle = s.sorted[count // 2]
    spread = s.sorted[count - 1] - s.sorted[0]
    if spread <= 0.0 or count < 3:
        return
    total, steps, mean = 0.0, 0.0, 0.0
    for i in range(count):
        mean += (s.signal[i] - middle) / spread
    mean /= count
    for i in range(count):
        z = (s.signal[i] - middle) / spread
        total += z * z
        if i:
            d = (s.signal[i] - s.signal[i - 1]) / spread
            steps += d * d
    variance = total / count - mean * mean
    top = 0.0
    low, high = 0, count - 1
    for _ in range(max(1, math.ceil(_BURST_SHARE * count))):
        below = (s.sorted[low] - middle) / spread
        above = (s.sorted[high] - middle) / spread
        if -below > above:
            top += below * below
            low += 1
        else:
            top += above * above
            high -= 1
    _blend(number, BURST, top / total if total > 0.0 else 0.0, part)
    if variance > 0.0:
        _blend(number, CORRELATION, 1.0 - steps / (count - 1) / (2.0 * variance), part)


@compiled
def _learn_decimals(values: Array, count: int, number: Array) -> None:
    """Note how many decimals the values have at most; -1 for more than are worth counting."""
    decimals = int(number[DECIMALS])
    if decimals < 0:
        return
    for i in range(count):
        value = abs(values[i])
        while True:
            scaled = value * 10.0**decimals
            if scaled > 1e15 or abs(scaled - math.floor(scaled + 0.5)) <= 1e-9 * max(scaled, 1.0):
                break
            decimals += 1
            if decimals > MOST_DECIMALS:
                number[DECIMALS] = -1.0
                return
    number[DECIMALS] = decimals

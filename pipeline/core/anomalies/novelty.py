"""Novelty: whether a value, after the values before it or at this hour, was ever seen; two alphabets of eight symbols.

Values become symbols of equal width, as in SAX (Lin et al., "Experiencing SAX", 2007); a context is the symbols
before, or the time of day, and which symbols have followed it is kept in a Bloom filter of one hash (Bloom, 1970).
"""

import math

import numpy as np

from pipeline.core.anomalies.state import (
    CONTEXTS,
    COUNT,
    PAIR_BYTES,
    SIZE_FLOOR,
    SIZE_MEAN,
    UNIT,
    UNIT_BEFORE,
    UNIT_GREATEST,
    UNIT_LAST,
    UNIT_LEAST,
    UNIT_SIZE,
    UNIT_START,
    UNIT_WIDTH,
    ScorerState,
)
from pipeline.core.compiled import compiled

LEARNING = 100
"""Samples that only set the ranges of the alphabets. Half gives 74.4 / .60 / .65, double 77.1 / .58 / .64."""
_BINS = 8
"""Symbols of the range at hand; SAX takes 3 to 10. It cannot change without another layout of the state."""
_OUTSIDE = 8
"""Symbols for values below the range, and as many above it."""
_HASH = 2654435761
"""Knuth's multiplier, 2^32 divided by the golden ratio ("The Art of Computer Programming", volume 3, 6.4)."""
_MIX, _MODULUS = 31, 1_000_003
"""How symbols become a key: a polynomial hash, modulo the least prime above a million."""
_AGAIN = (200, 400, 800)
"""Samples after which the alphabet is laid anew if the range has outgrown it: twice as many as before each time."""
_OUTGROWN = 10.0
"""Widths of a symbol that a range has grown to when the alphabet is laid anew. Half gives 75.4 / .54 / .66, double
78.0 / .56 / .68."""
_FLOOR_PART, _LEAST_FLOOR = 1e-3, 1e-9
"""What is added to sizes before their logarithm: a part of the mean size, so that zeros have one. Half gives 74.4 /
.57 / .66, double 75.5 / .56 / .65. The second makes it above 0 in a series of zeros."""
_NO_RANGE = 0.5
"""Part of the value that stands for the range of a series that has none."""
_TRUST_PRIOR = 3.0
"""Times that a context was seen at which it counts half. Half and double give 76.3 / .57 / .65."""


@compiled
def novelty(x: float, hour: int, row: int, state: ScorerState) -> tuple[float, float]:
    """Return from 0 (always seen) to 1 (never seen) for the pattern of sizes, and for the value at this hour."""
    s = state.number
    t = s[row, COUNT]
    size = abs(x)
    _widen(size, 0, row, state)
    _widen(x, 1, row, state)
    s[row, SIZE_MEAN] += (size - s[row, SIZE_MEAN]) / (t + 1.0)
    if t < LEARNING:
        if t == LEARNING - 1:
            _freeze(0, row, state)
            _freeze(1, row, state)
        return 0.0, 0.0
    if t == _AGAIN[0] or t == _AGAIN[1] or t == _AGAIN[2]:
        for unit in range(2):
            least, greatest = _range(unit, row, state)
            if greatest - least > _OUTGROWN * s[row, UNIT + unit * UNIT_SIZE + UNIT_WIDTH]:
                _freeze(unit, row, state)
                for k in range(CONTEXTS):
                    state.context[row, unit, k] = 0
                for k in range(PAIR_BYTES):
                    state.pair[row, unit, k] = 0
    by_size = _unseen(_symbol(math.log(size + s[row, SIZE_FLOOR]), 0, row, state), hour, 0, row, state)
    by_hour = _unseen(_symbol(x, 1, row, state), hour, 1, row, state)
    return by_size, by_hour


@compiled
def _widen(x: float, unit: int, row: int, state: ScorerState) -> None:
    base = UNIT + unit * UNIT_SIZE
    s = state.number
    if s[row, COUNT] == 0:
        s[row, base + UNIT_LEAST] = x
        s[row, base + UNIT_GREATEST] = x
    else:
        s[row, base + UNIT_LEAST] = min(s[row, base + UNIT_LEAST], x)
        s[row, base + UNIT_GREATEST] = max(s[row, base + UNIT_GREATEST], x)


@compiled
def _range(unit: int, row: int, state: ScorerState) -> tuple[float, float]:
    """Return the range seen so far, in the unit of the alphabet."""
    base = UNIT + unit * UNIT_SIZE
    s = state.number
    least = s[row, base + UNIT_LEAST]
    greatest = s[row, base + UNIT_GREATEST]
    if unit == 0:
        floor = s[row, SIZE_FLOOR]
        return math.log(least + floor), math.log(greatest + floor)
    return least, greatest


@compiled
def _freeze(unit: int, row: int, state: ScorerState) -> None:
    """Lay the alphabet over the range seen so far."""
    base = UNIT + unit * UNIT_SIZE
    s = state.number
    if unit == 0:
        s[row, SIZE_FLOOR] = _FLOOR_PART * s[row, SIZE_MEAN] + _LEAST_FLOOR
    least, greatest = _range(unit, row, state)
    span = greatest - least
    if span == 0:
        span = _NO_RANGE * max(abs(greatest), 1.0)
    s[row, base + UNIT_START] = least
    s[row, base + UNIT_WIDTH] = span / _BINS


@compiled
def _symbol(value: float, unit: int, row: int, state: ScorerState) -> int:
    base = UNIT + unit * UNIT_SIZE
    place = math.floor((value - state.number[row, base + UNIT_START]) / state.number[row, base + UNIT_WIDTH])
    return int(min(max(place, -8.0), 15.0)) + _OUTSIDE


@compiled
def _unseen(symbol: int, hour: int, unit: int, row: int, state: ScorerState) -> float:
    """Return how new ``symbol`` is in its contexts, the often seen ones counting more; then remember it."""
    base = UNIT + unit * UNIT_SIZE
    s = state.number
    weight = 0.0
    unseen = 0.0
    key = 7
    for order in range(3):
        if unit == 0:
            if order == 1:
                key = (_MIX * key + int(s[row, base + UNIT_LAST]) + 1) % _MODULUS
            elif order == 2:
                key = (_MIX * key + int(s[row, base + UNIT_BEFORE]) + 1) % _MODULUS
        elif order == 1:
            key = 8 + hour // 6
        elif order == 2:
            key = 100 + hour // 2
        slot = (8 * key + order) & 255
        count = np.float64(state.context[row, unit, slot])
        bit = (((24 * key + symbol) * 5 + order) * _HASH) & 1023
        mask = 1 << (bit & 7)
        trust = count / (count + _TRUST_PRIOR)
        weight += trust
        if state.pair[row, unit, bit >> 3] & mask == 0:
            unseen += trust
            state.pair[row, unit, bit >> 3] |= mask
        if count < 255:
            state.context[row, unit, slot] += 1
    s[row, base + UNIT_BEFORE] = s[row, base + UNIT_LAST]
    s[row, base + UNIT_LAST] = symbol
    return unseen / weight if weight > 0 else 0.0

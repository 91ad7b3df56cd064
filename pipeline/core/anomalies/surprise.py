"""How surprising a deviation is, measured against the series' own history of deviations."""

import math

import numpy as np

from pipeline.core.anomalies.state import BINS, COUNT, DEVIATIONS, SCALE, SURPRISED_AT, ScorerState
from pipeline.core.compiled import compiled

MOST = 6.0
"""The greatest surprise: a tail of one in a million."""
_EVERY = 32
_APART = _EVERY // DEVIATIONS
"""Samples from one deviation's turn to be rebuilt to the next one's."""
_DECAY = 0.9998**_EVERY
_HALF_BIN = 0.5 * math.log(2.0)
_SEEN = 0.25
"""Nothing is rarer than this part of how often its size, or almost, was seen: what comes a second time is known."""


@compiled
def surprise(size: float, which: int, row: int, state: ScorerState) -> float:
    """Give -log10 of how often deviation ``which`` was at least ``size``; then learn it."""
    s = state.number
    t = s[row, COUNT]
    n = t + 1.0
    if t < 128:
        if t % 8 == 0:
            _rebuild_tail(which, 1.0, row, state)
    elif t % _EVERY == _APART * which:
        _rebuild_tail(which, _DECAY, row, state)
    scale = s[row, SCALE + which]
    place = 0.0
    if scale > 0 and size > 0:
        place = min(max(2.0 * math.log2(size / scale) + 16.0, 0.0), 31.999)
    bin_ = int(place)
    found = 0.0
    if scale == 0 and size > 0:
        found = min(MOST, math.log10(2.0 * (n + 1.0)))
    elif t >= 100:
        lower = np.float64(state.tail[row, which, bin_])
        found = lower + (place - bin_) * (np.float64(state.tail[row, which, bin_ + 1]) - lower)
    learnt = size
    weight = 1.0
    if found > 2.0:
        if scale > 0:
            learnt = min(size, 4.0 * scale)
        if t - s[row, SURPRISED_AT + which] <= 100:
            weight = 0.2
        s[row, SURPRISED_AT + which] = t
    s[row, SCALE + which] = scale + max(1.0 / n, 0.0002) * (learnt - scale) * weight
    if n > 5:
        state.histogram[row, which, bin_] += weight
    return found


@compiled
def _rebuild_tail(which: int, decay: float, row: int, state: ScorerState) -> None:
    """Turn the histogram into surprises, its tail beyond ten samples continued as a power law (Hill's estimator)."""
    h = state.histogram
    total = 0.0
    for k in range(BINS):
        h[row, which, k] *= decay
        total += h[row, which, k]
    start = 0
    above = 0.0
    for k in range(BINS - 1, -1, -1):
        above += h[row, which, k]
        if above >= 10.0:
            start = k
            break
    excess = 0.0
    for k in range(start, BINS):
        excess += h[row, which, k] * (k - start + 0.5)
    tail_index = (_HALF_BIN * excess + 3.0 * _HALF_BIN) / (above + 3.0)
    at_start = (above + 0.5) / (total + 1.0)
    tail = 0.0
    for b in range(BINS, -1, -1):
        if b < BINS:
            tail += h[row, which, b]
        p = (tail + 0.5) / (total + 1.0)
        if b > start:
            least = max(1e-6, _SEEN * (tail + h[row, which, b - 1]) / (total + 1.0))
            p = min(p, max(at_start * math.exp(-(b - start) * _HALF_BIN / tail_index), least))
        state.tail[row, which, b] = min(MOST, -math.log10(p))

"""How surprising a deviation is, measured against the series' own history of deviations."""

import math

import numpy as np

from pipeline.core.anomalies.state import BINS, COUNT, DEVIATIONS, SCALE, SURPRISED_AT, ScorerState
from pipeline.core.compiled import compiled

MOST = 6.0
"""The greatest surprise: a tail of one in a million. Half gives 74.9 / .49 / .54; the double is never reached."""
_EVERY = 32
"""Samples after which a tail is rebuilt: it costs as much as 30 samples, so a sample pays for one step of it."""
_OFTEN, _OFTEN_UNTIL = 8, 128
"""The same in a series' first samples, whose histogram changes fast."""
_APART = _EVERY // DEVIATIONS
"""Samples from one deviation's turn to be rebuilt to the next one's."""
_DECAY = 0.9998**_EVERY
"""Of the histogram: a sample counts 1/e after 5,000, seventeen days at five minutes. Half gives 76.7 / .57 / .67,
double 75.6 / .56 / .65."""
_HALF_BIN = 0.5 * math.log(2.0)
"""The logarithm of a bin's width: two bins to each doubling, as BINS has it."""
_USUAL_BIN = 16.0
"""Where the usual deviation lies among the 32 bins: half of them for smaller ones, down to 1/256."""
_LAST_BIN = 31.999
_KNOWN_AFTER, _COUNTED_AFTER = 100, 5
"""Samples after which a tail is looked up, and after which they are counted. Of the first, half gives 76.4 / .57 /
.66, double 76.0 / .57 / .66. Of the second, half gives 75.9 / .58 / .65, double 75.2 / .56 / .68."""
_SURPRISING = 2.0
"""Surprise, one in a hundred, above which a deviation is learnt with caution. Half gives 74.1 / .55 / .61, double 72.9
/ .55 / .69."""
_MOST_LEARNT = 4.0
"""Usual deviations that such a one counts at most. Half gives 75.8 / .58 / .64, double 76.4 / .57 / .67."""
_SOON, _WEIGHT_OF_SOON = 100, 0.2
"""What surprises again within so many samples counts so much: one incident is not to become usual. Of the first, half
gives 75.6 / .58 / .66, double 78.0 / .57 / .66. Of the second, half gives 74.5 / .56 / .66, double 77.1 / .57 /
.68."""
_SCALE_GAIN = 0.0002
"""A deviation's part in the usual one, once there were 5,000. Half gives 76.2 / .57 / .65, double 76.1 / .57 / .64."""
_TAIL_SAMPLES = 10.0
"""Samples from which on the tail is continued as a power law: with fewer a bin's share says little. Half gives 76.3 /
.61 / .66, double 76.2 / .58 / .64."""
_HILL_PRIOR = 3.0
"""Samples of a usual tail that Hill's estimator begins with (Hill, 1975). Half gives 76.1 / .57 / .68, double 76.5 /
.56 / .65."""
_HALF = 0.5
"""Added to counts, so that what was not seen has a probability, too (Krichevsky and Trofimov, 1981)."""
_LEAST_TAIL = 1e-6
"""That of `MOST`."""
_SEEN = 0.25
"""Nothing is rarer than this part of how often its size, or almost, was seen: what comes a second time is known.
Without it, faults found in made series are .48, with it .60."""


@compiled
def surprise(size: float, which: int, row: int, state: ScorerState) -> float:
    """Return -log10 of how often deviation ``which`` was at least ``size``; then learn it."""
    s = state.number
    t = s[row, COUNT]
    n = t + 1.0
    if t < _OFTEN_UNTIL:
        if t % _OFTEN == 0:
            _rebuild_tail(which, 1.0, row, state)
    elif t % _EVERY == _APART * which:
        _rebuild_tail(which, _DECAY, row, state)
    scale = s[row, SCALE + which]
    place = 0.0
    if scale > 0 and size > 0:
        place = min(max(2.0 * math.log2(size / scale) + _USUAL_BIN, 0.0), _LAST_BIN)
    bin_ = int(place)
    found = 0.0
    if scale == 0 and size > 0:
        found = min(MOST, math.log10(2.0 * (n + 1.0)))
    elif t >= _KNOWN_AFTER:
        lower = np.float64(state.tail[row, which, bin_])
        found = lower + (place - bin_) * (np.float64(state.tail[row, which, bin_ + 1]) - lower)
    learnt = size
    weight = 1.0
    if found > _SURPRISING:
        if scale > 0:
            learnt = min(size, _MOST_LEARNT * scale)
        if t - s[row, SURPRISED_AT + which] <= _SOON:
            weight = _WEIGHT_OF_SOON
        s[row, SURPRISED_AT + which] = t
    s[row, SCALE + which] = scale + max(1.0 / n, _SCALE_GAIN) * (learnt - scale) * weight
    if n > _COUNTED_AFTER:
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
        if above >= _TAIL_SAMPLES:
            start = k
            break
    excess = 0.0
    for k in range(start, BINS):
        excess += h[row, which, k] * (k - start + 0.5)
    tail_index = (_HALF_BIN * excess + _HILL_PRIOR * _HALF_BIN) / (above + _HILL_PRIOR)
    at_start = (above + _HALF) / (total + 1.0)
    tail = 0.0
    for b in range(BINS, -1, -1):
        if b < BINS:
            tail += h[row, which, b]
        p = (tail + _HALF) / (total + 1.0)
        if b > start:
            least = max(_LEAST_TAIL, _SEEN * (tail + h[row, which, b - 1]) / (total + 1.0))
            p = min(p, max(at_start * math.exp(-(b - start) * _HALF_BIN / tail_index), least))
        state.tail[row, which, b] = min(MOST, -math.log10(p))

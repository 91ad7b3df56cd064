"""How many points a chunk may keep: a ratio in the long run, savings of what was not used, a price that follows."""

import math
from typing import NamedTuple

from pipeline.core.compiled import Array, compiled
from pipeline.core.downsampling.state import BUDGET_LAMBDA, CLASS_COUNTER, CLASS_STEP, SAVED

_MOST_TIMES_BASE = 4.0
"""What a single chunk may use, in usual ones. Half gives infrastructure 8.70 % .0328 .845, node 7.54 % .0274 .886,
made 5.96 % .0270 .916; double made 6.15 % .0270 .916."""
_PART_OF_COUNTER = 0.8
"""Of the usual budget: counters' peaks are kept as well with less (measured: .90 of them against .92). Half gives node
5.62 % .0348 .783, made 5.57 % .0281 .902; double node 11.16 % .0206 .927, made 6.98 % .0251 .932."""
_MOST_SAVED_TIMES_BASE = 8.0
"""What may be saved, in usual budgets: the ratio is kept in the long run. Half gives infrastructure 8.70 % .0327 .846,
node 7.56 % .0274 .885; double infrastructure 8.72 % .0328 .846."""
_LEAST, _LEAST_OF_COUNTER = 0.2, 0.02
"""Part of the usual budget that a chunk has at least, so that a quiet one still has a shape. Of gauges, half gives
node 7.58 % .0274 .885, made 6.01 % .0270 .916; double infrastructure 8.72 % .0332 .844, node 7.61 % .0273 .885,
made 6.22 % .0270 .916. Of counters, half and double give the same."""
_LEAST_PRICE, _LEAST_PRICE_OF_COUNTER, _MOST_PRICE = 0.02, 0.3, 1e6
"""In squared usual deviations: no point is kept that takes less than that off the squared error, however many are
left.

Measured: with it smooth series keep up to a quarter fewer points at the same error, and rare extremes come out better,
since what is saved is there for them. Of gauges, half gives infrastructure 8.76 % .0326 .834, node 7.67 % .0273 .886,
made 6.09 % .0269 .920; double infrastructure 8.60 % .0331 .850, node 7.49 % .0274 .886, made 5.81 % .0271 .915. Of
counters, half gives node 7.60 % .0273 .885; double node 7.54 % .0274 .885. The greatest price only keeps it finite.
"""
_PACE = 0.1
"""How fast the price follows; at 0.5, as at first, it swung, and errors were 5 % greater. Half gives infrastructure
8.78 % .0326 .839, node 7.60 % .0273 .885, made 6.11 % .0269 .919; double infrastructure 8.46 % .0338 .848, node
7.56 % .0274 .885, made 6.02 % .0271 .918."""
_SAVED_TIMES_BASE = 1.0
"""What should be saved, in usual budgets. Half gives infrastructure 8.78 % .0327 .833, node 7.60 % .0273 .885, made
6.14 % .0269 .919; double infrastructure 8.45 % .0334 .848, node 7.54 % .0274 .885, made 5.82 % .0271 .915."""

# columns of the fleet's sums
QUIET_SAMPLES, QUIET_POINTS, LOUD_SAMPLES, FLEET = range(4)
_FLEET_FORGET = 2e-6
"""A sample's part in the fleet's sums: they know the latest half million samples."""
_MOST_GRANT = 0.15
"""Of the ratio: no series is to keep more than a couple of points above it."""


class Budget(NamedTuple):
    """What a chunk may keep."""

    least: int
    """Points that it keeps however little they are worth."""
    most: int
    """Points."""
    worth: float
    """What a point beyond the least must take off the squared error, in squared usual deviations."""


@compiled
def base_points(count: int, share: float, series_class: int) -> float:
    """Return the usual budget of a chunk of so many samples."""
    return count * share * (_PART_OF_COUNTER if series_class == CLASS_COUNTER else 1.0)


@compiled
def budget_of(base: float, series_class: int, number: Array) -> Budget:
    """Return the budget of a chunk whose share is ``base`` points."""
    least, price = _LEAST, _LEAST_PRICE
    if series_class == CLASS_COUNTER:
        least, price = _LEAST_OF_COUNTER, _LEAST_PRICE_OF_COUNTER
    most = math.floor(min(number[SAVED] + base, _MOST_TIMES_BASE * base))
    return Budget(max(1, int(least * base)), max(1, int(most)), max(number[BUDGET_LAMBDA], price))


@compiled
def settle(used: int, base: float, priced: bool, number: Array) -> None:
    """Save what a chunk left, and raise or lower the price of a point.

    The price follows the use of this chunk, and the way back to what should be saved. A chunk that was not priced
    (lossless steps) leaves it alone.
    """
    saved = min(number[SAVED] + base - used, _MOST_SAVED_TIMES_BASE * base)
    number[SAVED] = saved
    if not priced:
        return
    use = min(max((used - base) / base, -1.0), 1.0)
    beyond = min(max((saved - _SAVED_TIMES_BASE * base) / base, -2.0), 2.0)
    price = number[BUDGET_LAMBDA] * math.exp(_PACE * (use - beyond))
    number[BUDGET_LAMBDA] = min(max(price, _LEAST_PRICE), _MOST_PRICE)


@compiled
def grant(ratio: float, fleet: Array) -> float:
    """Return how many points a sample a loud series may keep beyond the ratio, from what quiet ones leave."""
    if fleet[LOUD_SAMPLES] <= 0.0:
        return 0.0
    left = ratio * fleet[QUIET_SAMPLES] - fleet[QUIET_POINTS]
    return min(max(left / fleet[LOUD_SAMPLES], 0.0), _MOST_GRANT * ratio)


@compiled
def learn_fleet(samples: int, points: int, series_class: int, fleet: Array) -> None:
    """Count a chunk among the quiet or the loud ones."""
    keep = (1.0 - _FLEET_FORGET) ** samples
    for k in range(FLEET):
        fleet[k] *= keep
    if series_class in (CLASS_STEP, CLASS_COUNTER):
        fleet[QUIET_SAMPLES] += samples
        fleet[QUIET_POINTS] += points
    else:
        fleet[LOUD_SAMPLES] += samples

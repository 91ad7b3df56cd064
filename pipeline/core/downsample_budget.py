"""How many points a chunk may keep: a ratio in the long run, saved up in a bank, and a price that follows it."""

import math

from pipeline.core.compiled import compiled
from pipeline.core.downsample_state import BANK, BUDGET_LAMBDA, CLASS_COUNTER, CLASS_STEP
from pipeline.core.series import Array

MOST_TIMES_BASE = 4.0
"""What a single chunk may use, in usual ones."""
_BANK_TIMES_BASE = 8.0
_LEAST, _LEAST_OF_COUNTER = 0.2, 0.02
"""Part of the usual budget that a chunk has at least, so that a quiet one still has a shape."""
_LAMBDA_LEAST, _LAMBDA_MOST = 1e-12, 1e6

# columns of the fleet's sums
QUIET_SAMPLES, QUIET_POINTS, LOUD_SAMPLES, FLEET = range(4)
_FLEET_FORGET = 2e-6
"""A sample's part in the fleet's sums: they know the latest half million samples."""
_MOST_GRANT = 0.15
"""Of the ratio: no series is to keep more than a couple of points above it."""


@compiled
def most_points(base: float, number: Array) -> int:
    """Give how many points a chunk may keep."""
    return max(1, int(min(math.floor(number[BANK] + base), MOST_TIMES_BASE * base)))


@compiled
def least_points(base: float, series_class: int) -> int:
    """Give how many points a chunk keeps at least, were they ever so cheap."""
    return max(1, int((_LEAST_OF_COUNTER if series_class == CLASS_COUNTER else _LEAST) * base))


@compiled
def settle(used: int, base: float, priced: bool, number: Array) -> None:
    """Put what a chunk left into the bank, and raise or lower the price of a point.

    The price follows the use of this chunk, and the bank's way back to half a chunk. A chunk that was not priced
    (lossless steps) leaves it alone.
    """
    bank = min(number[BANK] + base - used, _BANK_TIMES_BASE * base)
    number[BANK] = bank
    if not priced:
        return
    use = min(max((used - base) / base, -1.0), 1.0)
    saved = min(max((bank - 0.5 * base) / base, -2.0), 2.0)
    price = number[BUDGET_LAMBDA] * math.exp(0.5 * use - 0.5 * saved)
    number[BUDGET_LAMBDA] = min(max(price, _LAMBDA_LEAST), _LAMBDA_MOST)


@compiled
def grant(ratio: float, fleet: Array) -> float:
    """Give how many points a sample a loud series may keep beyond the ratio, from what quiet ones leave."""
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

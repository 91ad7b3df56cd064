"""The state of many anomaly detectors in columns: what compiled code learns from samples."""

from typing import NamedTuple

import numpy as np

from pipeline.core.compiled import Array

HOURS = 24
BINS = 32
"""Bins of a histogram of deviations, two to each doubling."""

ABOVE, BELOW, DRIFT, DEVIATIONS = 0, 1, 2, 5
"""The deviations that are scored each by itself: of the value above what was expected, below it, and of drifts."""
DRIFTS = DEVIATIONS - DRIFT

EXPERTS = 6
BY_HOUR_EXPERT = 3
"""The one that expects the hour's value."""
UNITS = 2
"""Alphabets of the novelty: of the size of a value, and of the value by the hour."""
CONTEXTS = 256
PAIR_BYTES = 128

# columns of ScorerState.number
(
    COUNT,  # samples learnt from
    MEAN,  # in the value's unit, as the next three
    VARIANCE,  # in its square
    LOW,  # the extremes, which creep back to the mean
    HIGH,
    LAST_VALUE,
    LAST_Z,  # z is the value in standard deviations from the mean
    LAST_SEASONAL,  # what z was expected to be by the hour
    FAST_LEVEL,  # of z, over 20 samples
    SLOW_LEVEL,  # over 100
    SLOW_LOG_LEVEL,  # of sign(z) ln(1 + |z|), over 100
    AUTO_VARIANCE,  # of z less its hour's
    AUTO_COVARIANCE,  # of it with its successor
    LAST_HOUR,  # -1 before the first sample
    STEP,  # mean distance of two samples in a row
    RUN,  # equal samples in a row so far, or almost equal ones
    LONGEST_RUN,  # slowly forgotten
    EQUAL_SHARE,  # of the samples that equal the one before
    HOUR_PEAK,  # the greatest high score of the hour that runs
    BUDGET,  # alerts lately, slowly forgotten
    ALIVE,  # 1 while an incident goes on
    HOLD,  # the score that was reported for it
    HIGH_AT,  # the sample that was last high in it
    EMITTED_AT,  # the sample that something was last reported at
    LAST_MS,  # event time of the newest sample
    INTERVAL_MS,  # the usual time between two samples
    SCALE,  # of each deviation: its mean
) = range(27)
DRIFT_MEAN = SCALE + DEVIATIONS
"""Of each drift: the mean of the logarithm of z less its hour's."""
SURPRISED_AT = DRIFT_MEAN + DRIFTS
"""Of each deviation: the sample that was last surprising."""
ERROR = SURPRISED_AT + DEVIATIONS
"""Of each expert: its mean squared error."""
UNIT = ERROR + EXPERTS
# of each unit, from UNIT + unit * UNIT_SIZE
UNIT_LEAST, UNIT_GREATEST, UNIT_START, UNIT_WIDTH, UNIT_LAST, UNIT_BEFORE, UNIT_SIZE = range(7)
SIZE_MEAN = UNIT + UNITS * UNIT_SIZE
SIZE_FLOOR = SIZE_MEAN + 1
HOUR_DISTANCE = SIZE_FLOOR + 1
"""Mean distance of the logarithm of z from its hour's."""
IN_A_ROW = HOUR_DISTANCE + 1
"""What the surprises of the residuals in a row add up to, squared; above 0 if they are above what was expected."""
NUMBERS = IN_A_ROW + 1

# columns of ScorerState.hour
BY_HOUR, LOG_BY_HOUR, CLASS_OFFSET, LOG_CLASS_OFFSET, RECURRENCE, HOUR_NUMBERS = 0, 1, 2, 4, 6, 7

FIRST_BUDGET = 2.0
"""Reports that a series is taken to have made before it began: its first ones are dearer. Half gives 75.6 / .58 / .65,
double 74.7 / .57 / .66."""
FIRST_VARIANCE = 1e-6
"""Of what a series that began has: it divides, and is below any that is learnt."""
NEVER = -1e18
"""The number of a sample before all others."""


class ScorerState(NamedTuple):
    """The detectors of many series, one a row; a row is all there is of a series."""

    number: Array  # float64[rows, NUMBERS]
    tail: Array  # float32[rows, DEVIATIONS, BINS + 1]: surprise at the lower edge of each bin
    histogram: Array  # float32[rows, DEVIATIONS, BINS]: how often each size of a deviation was seen
    hour: Array  # float32[rows, HOURS, HOUR_NUMBERS]
    hour_count: Array  # uint16[rows, HOURS, 3]: samples in the hour, on working days, on free days
    context: Array  # uint8[rows, UNITS, CONTEXTS]: how often a context was seen, up to 255
    pair: Array  # uint8[rows, UNITS, PAIR_BYTES]: bits: which symbols followed in it


def new_state(rows: int) -> ScorerState:
    """Return the state of ``rows`` detectors that have seen nothing."""
    state = ScorerState(
        number=np.zeros((rows, NUMBERS)),
        tail=np.zeros((rows, DEVIATIONS, BINS + 1), np.float32),
        histogram=np.zeros((rows, DEVIATIONS, BINS), np.float32),
        hour=np.zeros((rows, HOURS, HOUR_NUMBERS), np.float32),
        hour_count=np.zeros((rows, HOURS, 3), np.uint16),
        context=np.zeros((rows, UNITS, CONTEXTS), np.uint8),
        pair=np.zeros((rows, UNITS, PAIR_BYTES), np.uint8),
    )
    clear(state, slice(None))
    return state


def clear(state: ScorerState, rows: slice | Array | int) -> None:
    """Make the detectors of ``rows`` forget everything."""
    for column in state:
        column[rows] = 0
    number = state.number
    number[rows, LAST_HOUR] = -1
    number[rows, EQUAL_SHARE] = 1.0
    number[rows, BUDGET] = FIRST_BUDGET
    number[rows, AUTO_VARIANCE] = FIRST_VARIANCE
    number[rows, HOLD] = -np.inf
    for column in (HIGH_AT, EMITTED_AT, *range(SURPRISED_AT, SURPRISED_AT + DEVIATIONS)):
        number[rows, column] = NEVER

"""A timestamp's unit is the setting, or told by its magnitude; what does not fit in 64 bits is said so."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.records.telegraf.parsed import TimestampUnit
from pipeline.core.records.telegraf.timestamps import INT64_MAX, INT64_MIN, resolve_unit, to_time_ns

AUTO, NS, US, MS, S = TimestampUnit
SCALES = {NS: 1, US: 10**3, MS: 10**6, S: 10**9}


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (0, NS),
        (10**8 - 1, NS),
        (10**8, S),
        (10**11 - 1, S),
        (10**11, MS),
        (10**14 - 1, MS),
        (10**14, US),
        (10**17 - 1, US),
        (10**17, NS),
        (-(10**8), S),
        (1516241192.5, S),
    ],
)
def test_auto_goes_by_magnitude(value: float, unit: TimestampUnit) -> None:
    assert resolve_unit(value, unit=AUTO, default_unit=NS) is unit


def test_a_magnitude_that_says_nothing_gets_the_default_of_the_format() -> None:
    assert resolve_unit(42, unit=AUTO, default_unit=S) is S


def test_a_unit_that_is_set_is_not_questioned() -> None:
    assert to_time_ns(1516241192, unit=MS, default_unit=NS) == 1516241192_000_000


@pytest.mark.parametrize(
    ("value", "unit", "time_ns"),
    [
        (INT64_MAX, NS, INT64_MAX),
        (INT64_MAX + 1, NS, None),
        (INT64_MIN, NS, INT64_MIN),
        (INT64_MIN - 1, NS, None),
        (9223372036, S, 9223372036_000_000_000),
        (9223372037, S, None),
        (10**4000, S, None),
        (math.inf, S, None),
        (-math.inf, AUTO, None),
        (math.nan, AUTO, None),
        (1e300, NS, None),
        (0.5, NS, 0),
        (1.5, NS, 2),
        (-1.5, NS, -2),
    ],
)
def test_what_fits_in_64_bits_is_taken_and_the_rest_is_none(
    value: float, unit: TimestampUnit, time_ns: int | None
) -> None:
    assert to_time_ns(value, unit=unit, default_unit=S) == time_ns


@given(value=st.floats(-1e18, 1e18), unit=st.sampled_from([NS, US, MS, S]))
def test_a_fraction_is_exact_to_the_nanosecond(value: float, unit: TimestampUnit) -> None:
    exact = round(Fraction(value) * SCALES[unit])

    assert to_time_ns(value, unit=unit, default_unit=S) == (exact if INT64_MIN <= exact <= INT64_MAX else None)

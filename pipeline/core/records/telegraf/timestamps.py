"""Timestamps of any unit to signed 64-bit nanoseconds since 1970."""

import math
from typing import Final

from pipeline.core.records.telegraf.parsed import TimestampUnit

__all__ = ["INFLUX_DEFAULT_UNIT", "INT64_MAX", "INT64_MIN", "JSON_DEFAULT_UNIT", "resolve_unit", "to_time_ns"]

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1

INFLUX_DEFAULT_UNIT: Final = TimestampUnit.NS
"""What Telegraf writes in line protocol."""

JSON_DEFAULT_UNIT: Final = TimestampUnit.S
"""What Telegraf writes in JSON unless ``json_timestamp_units`` says otherwise."""

_NS_PER_UNIT: Final = {
    TimestampUnit.NS: 1,
    TimestampUnit.US: 1_000,
    TimestampUnit.MS: 1_000_000,
    TimestampUnit.S: 1_000_000_000,
}

_AUTO_BOUNDS: Final = (
    (10**11, TimestampUnit.S),
    (10**14, TimestampUnit.MS),
    (10**17, TimestampUnit.US),
)
_AUTO_UNDECIDED_BELOW: Final = 10**8


def resolve_unit(value: float, *, unit: TimestampUnit, default_unit: TimestampUnit) -> TimestampUnit:
    """Return the unit of one timestamp.

    Parameters
    ----------
    value : int or float
        The timestamp as it came.
    unit : TimestampUnit
        The setting; anything but ``auto`` is the answer.
    default_unit : TimestampUnit
        The unit of the format, for values that say nothing.

    Returns
    -------
    TimestampUnit
        Never ``auto``.

    Notes
    -----
    ``auto`` goes by magnitude. The four ranges follow one another without a gap, so each unit is right for
    the years that monitoring data can come from (before 1970 the same with a minus sign):

    ==================  ======================  ===================================================
    magnitude           unit                    years that are read rightly
    ==================  ======================  ===================================================
    below 1e8           the format's default    (1e8 s is 1973, 1e8 ms is 2 January 1970)
    1e8 up to 1e11      seconds                 1973-03-03 to 5138
    1e11 up to 1e14     milliseconds            1973-03-03 to 5138
    1e14 up to 1e17     microseconds            1973-03-03 to 5138
    from 1e17           nanoseconds             1973-03-03 to 2262 (the end of signed 64-bit)
    ==================  ======================  ===================================================

    Examples
    --------
    >>> resolve_unit(1_516_241_192, unit=TimestampUnit.AUTO, default_unit=TimestampUnit.NS).value
    's'
    >>> resolve_unit(42, unit=TimestampUnit.AUTO, default_unit=TimestampUnit.NS).value
    'ns'
    """
    if unit is not TimestampUnit.AUTO:
        return unit
    magnitude = abs(value)
    if magnitude < _AUTO_UNDECIDED_BELOW:
        return default_unit
    for bound, bounded_unit in _AUTO_BOUNDS:
        if magnitude < bound:
            return bounded_unit
    return TimestampUnit.NS


def to_time_ns(value: float, *, unit: TimestampUnit, default_unit: TimestampUnit) -> int | None:
    """Return the nanoseconds since 1970 of one timestamp.

    Parameters
    ----------
    value : int or float
        The timestamp as it came. The fraction of a float is kept exactly as far as the double carries it, and rounded
        half to even at the nanosecond.
    unit, default_unit : TimestampUnit
        See `resolve_unit`.

    Returns
    -------
    int or None
        None when the result does not fit in signed 64 bits, or the value is NaN or infinite.

    Examples
    --------
    >>> to_time_ns(1_516_241_192, unit=TimestampUnit.S, default_unit=TimestampUnit.NS)
    1516241192000000000
    >>> to_time_ns(0.25, unit=TimestampUnit.S, default_unit=TimestampUnit.NS)
    250000000
    >>> to_time_ns(9_223_372_037, unit=TimestampUnit.S, default_unit=TimestampUnit.NS) is None
    True
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None
    scale = _NS_PER_UNIT[resolve_unit(value, unit=unit, default_unit=default_unit)]
    time_ns = _rounded_product(value, scale) if isinstance(value, float) else value * scale
    return time_ns if INT64_MIN <= time_ns <= INT64_MAX else None


def _rounded_product(value: float, scale: int) -> int:
    """Multiply the double exactly, rounded half to even."""
    numerator, denominator = value.as_integer_ratio()
    quotient, remainder = divmod(numerator * scale, denominator)
    above_half = 2 * remainder - denominator
    return quotient + (1 if above_half > 0 or (above_half == 0 and quotient % 2 == 1) else 0)

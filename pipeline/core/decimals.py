"""Decimal text to doubles and back, in compiled code: exact both ways.

Reading follows Lemire, "Number Parsing at a Gigabyte per Second" (Software: Practice and Experience, 2021): a decimal
significand of at most 19 digits times a power of ten gives the nearest double, or a refusal in the few cases that the
128-bit product cannot decide. Writing follows Giulietti, "The Schubfach way to render doubles" (2020), in the form of
A. Bolz' Drachennest: the shortest digits that read back as the same double, laid out as Python's ``repr`` does.
"""

import numpy as np

from pipeline.core.compiled import Array, Bytes, Int, compiled
from pipeline.core.instructions import (
    bits_of_double,
    double_of_bits,
    leading_zeros,
    load_word,
    multiply_high,
    store_word,
)
from pipeline.core.words import ascii_of_eight

_POWER_MIN, _POWER_MAX = -342, 308
_TEN_MIN, _TEN_MAX = -292, 324
_U1 = np.uint64(1)
_SIGNIFICAND_BITS = np.uint64(52)
_HIDDEN_BIT = np.uint64(1 << 52)
_SIGNIFICAND_MASK = np.uint64((1 << 52) - 1)
_PRECISION_MASK = np.uint64((1 << 64) - 1 >> 55)
_ALL_ONES = np.uint64((1 << 64) - 1)

MAX_TEXT_BYTES = 48
"""Room that :func:`write_double` needs: 24 bytes of text at most, and what it may overwrite behind them."""


def _power_of_five(exponent: int) -> int:
    """128 bits of ``5 ** exponent``, the top bit set: truncated, or rounded up for a negative exponent."""
    if exponent >= 0:
        value: int = 5**exponent
        shift = value.bit_length() - 128
        return value >> shift if shift >= 0 else value << -shift
    value = 5**-exponent
    bits = value.bit_length()
    if value == 1 << (bits - 1):
        bits -= 1
    reciprocal = (1 << (2 * bits + 128)) // value + 1 if exponent < -27 else (1 << (bits + 127)) // value + 1
    return reciprocal >> max(reciprocal.bit_length() - 128, 0)


def _power_of_ten(exponent: int) -> int:
    """128 bits of ``10 ** exponent``, the top bit set, rounded up."""
    if exponent >= 0:
        value: int = 10**exponent
        shift = value.bit_length() - 128
        return -(-value >> shift) if shift > 0 else value << -shift
    value = 10**-exponent
    reciprocal = -(-(1 << (value.bit_length() + 127)) // value)
    return reciprocal if reciprocal.bit_length() <= 128 else -(-reciprocal >> 1)


def _table(values: list[int]) -> Array:
    return np.array([[v >> 64, v & ((1 << 64) - 1)] for v in values], np.uint64)


_FIVES = _table([_power_of_five(q) for q in range(_POWER_MIN, _POWER_MAX + 1)])
_TENS = _table([_power_of_ten(k) for k in range(_TEN_MIN, _TEN_MAX + 1)])
_INTEGER_TENS = np.array([10**i for i in range(20)], np.uint64)
_EXACT_TENS = np.array([10.0**i for i in range(23)])


@compiled
def double_of_decimal(significand: np.uint64, exponent: Int) -> tuple[bool, float]:
    """Return the double nearest to ``significand * 10 ** exponent``.

    Parameters
    ----------
    significand
        The decimal digits as an unsigned integer, at most 19 of them.
    exponent
        Power of ten.

    Returns
    -------
    decided : bool
        False where the value is subnormal, overflows, or cannot be decided from 128 bits; ask a slower parser then.
    value : float

    Examples
    --------
    >>> double_of_decimal(np.uint64(15), -1)
    (True, 1.5)
    >>> double_of_decimal(np.uint64(1), 400)[0]
    False
    """
    if significand == 0:
        return True, 0.0
    if significand <= np.uint64(1 << 53) and -22 <= exponent <= 22:
        if exponent < 0:
            return True, np.float64(significand) / _EXACT_TENS[-exponent]
        return True, np.float64(significand) * _EXACT_TENS[exponent]
    if exponent < _POWER_MIN or exponent > _POWER_MAX:
        return False, 0.0
    zeros = leading_zeros(significand)
    w = significand << zeros
    row = exponent - _POWER_MIN
    low = w * _FIVES[row, 0]
    high = multiply_high(w, _FIVES[row, 0])
    if high & _PRECISION_MASK == _PRECISION_MASK:
        more = multiply_high(w, _FIVES[row, 1])
        low += more
        if more > low:
            high += _U1
    if low == _ALL_ONES and (exponent < -27 or exponent > 55):
        return False, 0.0
    upper = high >> np.uint64(63)
    shift = upper + np.uint64(9)
    mantissa = high >> shift
    binary_exponent = ((217706 * exponent) >> 16) + 63 + np.int64(upper) - np.int64(zeros) + 1023
    if binary_exponent <= 0:
        return False, 0.0
    if (
        low <= _U1
        and -4 <= exponent <= 23
        and mantissa & np.uint64(3) == _U1
        and mantissa << shift == high  # exactly half way: to even
    ):
        mantissa &= ~_U1
    mantissa = (mantissa + (mantissa & _U1)) >> _U1
    if mantissa >= np.uint64(2 << 52):
        mantissa = _HIDDEN_BIT
        binary_exponent += 1
    if binary_exponent >= 0x7FF:
        return False, 0.0
    return True, double_of_bits((np.uint64(binary_exponent) << _SIGNIFICAND_BITS) | (mantissa & _SIGNIFICAND_MASK))


@compiled
def _round_to_odd(row: Int, cp: np.uint64) -> np.uint64:
    x1 = multiply_high(_TENS[row, 1], cp)
    y0 = _TENS[row, 0] * cp
    y1 = multiply_high(_TENS[row, 0], cp)
    y0 += x1
    if y0 < x1:
        y1 += _U1
    if y0 > _U1:
        y1 |= _U1
    return y1


@compiled
def _shortest(bits: np.uint64) -> tuple[np.uint64, Int]:
    """Return the shortest decimal (digits, power of ten) of a finite double that is not 0, the sign left out."""
    fraction = bits & _SIGNIFICAND_MASK
    biased = np.int64((bits >> _SIGNIFICAND_BITS) & np.uint64(0x7FF))
    if biased != 0:
        c = fraction | _HIDDEN_BIT
        q = biased - 1075
        if 0 <= -q < 53 and (c & ((_U1 << np.uint64(-q)) - _U1)) == 0:
            return c >> np.uint64(-q), 0
    else:
        c = fraction
        q = np.int64(-1074)
    odd = c & _U1
    closer = fraction == 0 and biased > 1
    cb = c << np.uint64(2)
    cbl = cb - np.uint64(2)
    k = q * 1262611
    if closer:
        cbl += _U1
        k -= 524031
    k >>= 22
    h = np.uint64(q + ((-k * 1741647) >> 19) + 1)
    row = -k - _TEN_MIN
    lower = _round_to_odd(row, cbl << h) + odd
    vb = _round_to_odd(row, cb << h)
    upper = _round_to_odd(row, (cb + np.uint64(2)) << h) - odd
    s = vb >> np.uint64(2)
    if s >= np.uint64(10):
        sp = s // np.uint64(10)
        forty = np.uint64(40) * sp
        up_inside = lower <= forty
        wp_inside = forty + np.uint64(40) <= upper
        if up_inside != wp_inside:
            return (sp + _U1 if wp_inside else sp), k + 1
    u_inside = lower <= np.uint64(4) * s
    w_inside = np.uint64(4) * s + np.uint64(4) <= upper
    if u_inside != w_inside:
        return (s + _U1 if w_inside else s), k
    mid = np.uint64(4) * s + np.uint64(2)
    if vb > mid or (vb == mid and (s & _U1) != 0):
        s += _U1
    return s, k


@compiled
def _count_digits(value: np.uint64) -> Int:
    """Count the decimal digits of an unsigned integer below 10**19; 1 for 0."""
    guess = ((64 - np.int64(leading_zeros(value | _U1))) * 1233) >> 12
    return guess + (1 if value >= _INTEGER_TENS[guess] else 0) if value > 0 else 1


@compiled
def _write_digits(value: np.uint64, count: Int, out: Bytes, at: Int) -> None:
    """Write the ``count`` digits of an unsigned integer from ``at`` on; up to seven bytes behind are overwritten."""
    if count <= 8:
        store_word(out, at, ascii_of_eight(value) >> np.uint64(8 * (8 - count)))
        return
    upper = value // np.uint64(100_000_000)
    lower = value - upper * np.uint64(100_000_000)
    count -= 8
    if count > 8:
        top = upper // np.uint64(100_000_000)
        upper -= top * np.uint64(100_000_000)
        count -= 8
        store_word(out, at, ascii_of_eight(top) >> np.uint64(8 * (8 - count)))
        at += count
        count = 8
    store_word(out, at, ascii_of_eight(upper) >> np.uint64(8 * (8 - count)))
    store_word(out, at + count, ascii_of_eight(lower))


@compiled
def write_integer(value: Int, out: Bytes, at: Int) -> Int:
    """Write a signed 64-bit integer in decimal at ``out[at:]``; return the position after it (at most 20 bytes on).

    Up to seven bytes behind are overwritten.
    """
    rest = np.uint64(value)
    if value < 0:
        out[at] = 45
        at += 1
        rest = np.uint64(0) - rest
    end = at + _count_digits(rest)
    _write_digits(rest, end - at, out, at)
    return end


@compiled
def write_double(value: float, out: Bytes, at: Int) -> Int:
    """Write the shortest text that reads back as ``value``, as ``repr`` would.

    Parameters
    ----------
    value
        Any finite double; infinities are written as the greatest finite double of their sign and NaN as 0.0, since
        JSON has neither (sums of huge samples can overflow; samples themselves are finite).
    out
        Bytes to write into, uint8, with room for :data:`MAX_TEXT_BYTES` from ``at`` on.
    at
        Where to begin.

    Returns
    -------
    int
        The position after the text.

    Examples
    --------
    >>> text = np.zeros(MAX_TEXT_BYTES, np.uint8)
    >>> text[: write_double(0.1 + 0.2, text, 0)].tobytes()
    b'0.30000000000000004'
    """
    if value != value:  # noqa: PLR0124 - the compiled test for NaN
        value = 0.0
    value = min(max(value, -1.7976931348623157e308), 1.7976931348623157e308)
    bits = bits_of_double(value)
    if bits >> np.uint64(63):
        out[at] = 45
        at += 1
        bits &= ~(_U1 << np.uint64(63))
    if bits == 0:
        out[at] = 48
        out[at + 1] = 46
        out[at + 2] = 48
        return at + 3
    digits, exponent = _shortest(bits)
    if digits >= np.uint64(100_000_000):
        rest = digits // np.uint64(100_000_000)
        if rest * np.uint64(100_000_000) == digits:
            digits = rest
            exponent += 8
    while True:
        tenth = digits // np.uint64(10)
        if tenth * np.uint64(10) != digits:
            break
        digits = tenth
        exponent += 1
    count = _count_digits(digits)
    point = count + exponent  # where the decimal point stands, counted from the first digit
    if 0 < point < count:
        _write_digits(digits, count, out, at)
        at += point
        first, second = load_word(out, at), load_word(out, at + 8)
        out[at] = 46
        store_word(out, at + 1, first)
        store_word(out, at + 9, second)
        return at + 1 + count - point
    if count <= point <= 16:
        _write_digits(digits, count, out, at)
        end = at + count
        for _ in range(point - count):
            out[end] = 48
            end += 1
        out[end] = 46
        out[end + 1] = 48
        return end + 2
    if -4 < point <= 0:
        out[at] = 48
        out[at + 1] = 46
        at += 2
        for _ in range(-point):
            out[at] = 48
            at += 1
        _write_digits(digits, count, out, at)
        return at + count
    end = at + count
    if count > 1:
        _write_digits(digits, count, out, at + 1)
        out[at] = out[at + 1]
        out[at + 1] = 46
        end += 1
    else:
        out[at] = np.uint8(digits) + 48
    out[end] = 101
    scientific = point - 1
    out[end + 1] = 45 if scientific < 0 else 43
    end += 2
    if scientific < 0:
        scientific = -scientific
    if scientific < 10:
        out[end] = 48
        end += 1
    return write_integer(scientific, out, end)

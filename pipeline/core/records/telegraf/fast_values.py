"""Numbers, booleans, strings and timestamps of the fast path, read where they stand."""

import numpy as np

from pipeline.core.compiled import Bytes, Int, compiled
from pipeline.core.decimals import double_of_decimal
from pipeline.core.instructions import load_word
from pipeline.core.words import eight_digits

UNIT_NS, UNIT_US, UNIT_MS, UNIT_S, UNIT_AUTO = 0, 1, 2, 3, 4


MAX_FIELDS = 1024


_MAX_DIGITS = 19


_LARGEST_INTEGER = np.uint64((1 << 63) - 1)


@compiled
def number_at(data: Bytes, p: Int, end: Int, json: bool) -> tuple[Int, float]:
    """Read a number at ``p``; return the position after it and its value, or -1 where the plain parser must look."""
    negative = False
    if p < end and data[p] == 45:
        negative = True
        p += 1
    first = p
    significand = np.uint64(0)
    while p < end:
        d = np.uint64(data[p]) - np.uint64(48)
        if d > np.uint64(9):
            break
        significand = significand * np.uint64(10) + d
        p += 1
    whole = p - first
    exponent: Int = 0
    digits = whole
    if p < end and data[p] == 46:
        p += 1
        point = p
        while p + 8 <= end:
            eight = eight_digits(load_word(data, p))
            if eight < 0:
                break
            significand = significand * np.uint64(100_000_000) + np.uint64(eight)
            p += 8
        while p < end:
            d = np.uint64(data[p]) - np.uint64(48)
            if d > np.uint64(9):
                break
            significand = significand * np.uint64(10) + d
            p += 1
        exponent = point - p
        digits += p - point
        if json and (whole == 0 or exponent == 0):
            return -1, 0.0
    if digits == 0 or digits > _MAX_DIGITS or (json and whole > 1 and data[first] == 48):
        return -1, 0.0
    if p < end and (data[p] == 101 or data[p] == 69):
        p += 1
        minus = False
        if p < end and (data[p] == 43 or data[p] == 45):
            minus = data[p] == 45
            p += 1
        begin = p
        power: Int = 0
        while p < end and 48 <= data[p] <= 57 and p - begin < 5:
            power = power * 10 + (np.int64(data[p]) - 48)
            p += 1
        if p == begin or (p < end and 48 <= data[p] <= 57):
            return -1, 0.0
        exponent += -power if minus else power
    elif not json and p < end and (data[p] == 105 or data[p] == 117):
        # an integer: no point, no leading zero, and within 64 bits whatever its sign
        if exponent != 0 or digits != whole or data[p - 1] == 46 or (whole > 1 and data[first] == 48):
            return -1, 0.0
        if data[p] == 117:
            if negative:
                return -1, 0.0
        elif significand > _LARGEST_INTEGER:
            return -1, 0.0
        negative = negative and significand != 0  # an integer has no negative zero
        p += 1
    elif json and exponent == 0:
        negative = negative and significand != 0
    decided, value = double_of_decimal(significand, exponent)
    if not decided:
        return -1, 0.0
    return p, -value if negative else value


@compiled
def word_at(data: Bytes, p: Int, end: Int, word: Int, length: Int) -> bool:
    """Return whether ``length`` bytes at ``p`` are those of ``word`` (big-endian)."""
    if p + length > end:
        return False
    for i in range(length):
        if np.int64(data[p + i]) != (word >> (8 * (length - 1 - i))) & 255:
            return False
    return True


_TRUE, _FALSE = int.from_bytes(b"true"), int.from_bytes(b"false")


_TRUE_UPPER, _FALSE_UPPER = int.from_bytes(b"TRUE"), int.from_bytes(b"FALSE")


_TRUE_TITLE, _FALSE_TITLE = int.from_bytes(b"True"), int.from_bytes(b"False")


@compiled
def boolean_at(data: Bytes, p: Int, end: Int, json: bool) -> tuple[Int, float]:
    """Read a boolean at ``p`` as 0 or 1; the position after it, or -1."""
    if word_at(data, p, end, _TRUE, 4) or (
        not json and (word_at(data, p, end, _TRUE_UPPER, 4) or word_at(data, p, end, _TRUE_TITLE, 4))
    ):
        return p + 4, 1.0
    if word_at(data, p, end, _FALSE, 5) or (
        not json and (word_at(data, p, end, _FALSE_UPPER, 5) or word_at(data, p, end, _FALSE_TITLE, 5))
    ):
        return p + 5, 0.0
    if not json and p < end:
        if data[p] == 116 or data[p] == 84:
            return p + 1, 1.0
        if data[p] == 102 or data[p] == 70:
            return p + 1, 0.0
    return -1, 0.0


@compiled
def is_simple_name(data: Bytes, p: Int, end: Int) -> bool:
    """Return whether a field name needs no second look: letters, digits and punctuation that mean nothing else."""
    if p >= end:
        return False
    for i in range(p, end):
        c = data[i]
        if c <= 32 or c > 126 or c == 44 or c == 92:
            return False
    return True


@compiled
def plain_string_end(data: Bytes, p: Int, end: Int) -> Int:
    """Skip a quoted string at ``p`` that has no escape, control or non-ASCII byte; the position after it, or -1."""
    p += 1
    while p < end:
        c = data[p]
        if c == 34:
            return p + 1
        if c == 92 or c < 32 or c > 126:
            return -1
        p += 1
    return -1


@compiled
def milliseconds(value: Int, unit: Int, small_unit: Int) -> tuple[bool, Int]:
    """Convert a timestamp to whole milliseconds; False where it does not fit in 64-bit nanoseconds."""
    size = value if value >= 0 else -value
    if unit == UNIT_AUTO:
        if size < 100_000_000:
            unit = small_unit
        elif size < 100_000_000_000:
            unit = UNIT_S
        elif size < 100_000_000_000_000:
            unit = UNIT_MS
        elif size < 100_000_000_000_000_000:
            unit = UNIT_US
        else:
            unit = UNIT_NS
    if unit == UNIT_NS:
        return True, value // 1_000_000
    if unit == UNIT_US:
        return bool(size <= 9_223_372_036_854_775), value // 1_000
    if unit == UNIT_MS:
        return bool(size <= 9_223_372_036_854), value
    return bool(size <= 9_223_372_036), value * 1_000


@compiled
def integer_at(data: Bytes, p: Int, end: Int) -> tuple[Int, Int]:
    """Read an integer of at most 18 digits, or 19 that fit; the position after it, or -1."""
    negative = False
    if p < end and data[p] == 45:
        negative = True
        p += 1
    begin = p
    value: Int = 0
    while p < end and 48 <= data[p] <= 57:
        if p - begin == 18 and value > 922_337_203_685_477_579:
            return -1, 0
        if p - begin == 19:
            return -1, 0
        value = value * 10 + (np.int64(data[p]) - 48)
        p += 1
    if p == begin:
        return -1, 0
    return p, -value if negative else value

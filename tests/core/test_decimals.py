"""Numbers are read and written exactly as Python reads and writes them."""

import math
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.core.decimals import MAX_TEXT_BYTES, double_of_decimal, write_double, write_integer

GUARD = 0xA5
INT64 = st.integers(-(2**63), 2**63 - 1)
EDGES = [
    0.0,
    -0.0,
    5e-324,
    -5e-324,
    2.2250738585072014e-308,
    2.225073858507201e-308,
    1.7976931348623157e308,
    -1.7976931348623157e308,
    9007199254740991.0,
    9007199254740992.0,
    9007199254740993.0,
    1e15,
    1e16,
    1e17,
    9999999999999998.0,
    123456789012345680.0,
    1e21,
    1e22,
    1e23,
    9.5e-5,
    0.0001,
    0.00001,
    0.1 + 0.2,
    2.0**-1074 * 3,
    2.0**63,
    4.35,
    1.0,
    -1.5,
    100.0,
]


def written(write: Callable[[float, np.ndarray[Any, Any], int], int], value: float) -> bytes:
    """Return what is written for a value; nothing may be written beyond the room it may take."""
    out = np.full(MAX_TEXT_BYTES + 32, GUARD, np.uint8)
    end = write(value, out, 16)
    assert 16 < end <= 16 + MAX_TEXT_BYTES
    assert set(out[:16].tolist()) == {GUARD}
    assert set(out[16 + MAX_TEXT_BYTES :].tolist()) == {GUARD}
    return out[16:end].tobytes()


def random_doubles(seed: int, count: int) -> Iterator[float]:
    """Yield doubles of every exponent, random in their bits, and their neighbours at powers of two."""
    r = random.Random(seed)
    for _ in range(count):
        (value,) = struct.unpack("<d", r.getrandbits(64).to_bytes(8, "little"))
        if math.isfinite(value):
            yield value
    for exponent in range(-1074, 1024):
        power = math.ldexp(1.0, exponent)
        yield from (power, math.nextafter(power, 0.0), math.nextafter(power, math.inf))


@settings(max_examples=2000, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_is_written_as_its_repr(value: float) -> None:
    assert written(write_double, value).decode() == repr(value)


@pytest.mark.parametrize("value", EDGES)
def test_an_edge_of_the_doubles_is_written_as_its_repr(value: float) -> None:
    assert written(write_double, value).decode() == repr(value)


def test_random_bits_are_written_as_their_repr() -> None:
    out = np.zeros(MAX_TEXT_BYTES, np.uint8)
    for value in random_doubles(1, 40_000):
        if math.isfinite(value):
            assert out[: write_double(value, out, 0)].tobytes().decode() == repr(value)


def test_decimals_of_few_digits_are_written_as_they_came() -> None:
    out = np.zeros(MAX_TEXT_BYTES, np.uint8)
    r = random.Random(2)
    for _ in range(20_000):
        value = float(f"{r.randrange(-(10**9), 10**9)}e{r.randrange(-12, 10)}")
        assert out[: write_double(value, out, 0)].tobytes().decode() == repr(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(math.inf, "1.7976931348623157e+308"), (-math.inf, "-1.7976931348623157e+308"), (math.nan, "0.0")],
)
def test_what_json_has_no_number_for_is_written_as_one(value: float, text: str) -> None:
    assert written(write_double, value).decode() == text


@settings(max_examples=1000, deadline=None)
@given(INT64)
@example(0)
@example(-1)
@example(-(2**63))
@example(2**63 - 1)
def test_an_integer_is_written_in_decimal(value: int) -> None:
    assert written(write_integer, value).decode() == str(value)


def test_every_number_of_digits_is_written() -> None:
    for digits in range(19):
        for value in (10**digits, 10**digits - 1, 10**digits + 1, -(10**digits)):
            assert written(write_integer, value).decode() == str(value)


def assert_read(significand: int, exponent: int) -> bool:
    decided, value = double_of_decimal(np.uint64(significand), exponent)
    if decided:
        assert value.hex() == float(f"{significand}e{exponent}").hex(), (significand, exponent)
    return bool(decided)


@settings(max_examples=3000, deadline=None)
@given(st.integers(0, 10**19 - 1), st.integers(-400, 400))
@example(0, 0)
@example(9007199254740993, 0)
@example(2**53, 22)
@example(2**53 + 1, 22)
@example(17976931348623157, 292)
@example(17976931348623159, 292)
@example(22250738585072014, -324)
@example(49, -325)
@example(1, 1_000_000)
@example(1, -1_000_000)
def test_a_decimal_is_read_as_the_nearest_double_or_not_decided(significand: int, exponent: int) -> None:
    assert_read(significand, exponent)


@settings(max_examples=1000, deadline=None)
@given(st.floats(1e-300, 1e300))
def test_the_shortest_text_of_a_double_reads_back(value: float) -> None:
    mantissa, _, power = f"{value:.16e}".partition("e")
    assert_read(int(mantissa.replace(".", "")), int(power) - 16)


def test_half_way_cases_are_rounded_to_even() -> None:
    r = random.Random(3)
    for _ in range(5_000):
        half = (r.getrandbits(53) | 1 << 52) * 2 + 1  # 54 bits, exactly between two doubles
        for value in (half - 1, half, half + 1):
            assert assert_read(value, 0)
        power = r.randrange(1, 5)
        if half % 5**power == 0:
            assert_read(half // 5**power * 10**power, 0)


def test_what_agents_send_is_always_decided() -> None:
    r = random.Random(4)
    for _ in range(20_000):
        assert assert_read(r.getrandbits(r.randrange(1, 60)), r.randrange(-19, 5))

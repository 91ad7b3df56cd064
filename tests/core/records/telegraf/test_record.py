"""A record's format is told by its first byte, and a record as a whole can be refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.records.telegraf.parsed import ParsedMetric, Refusal, TimestampUnit
from pipeline.core.records.telegraf.record import InputFormat, detect_format, parse_record

INFLUX = b"cpu value=1 1516241192000000000"
JSON = b'{"name":"cpu","fields":{"value":1}}'


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (INFLUX, InputFormat.INFLUX),
        (b"\n\t # comment", InputFormat.INFLUX),
        ("☺ v=1".encode(), InputFormat.INFLUX),
        ("\U0001f600 v=1".encode(), InputFormat.INFLUX),
        (b"", InputFormat.INFLUX),
        (b",", InputFormat.INFLUX),
        (JSON, InputFormat.JSON),
        (b"\r\n [", InputFormat.JSON),
        (b"\xef\xbb\xbf{", InputFormat.JSON),
        (b"\x1f\x8b\x08\x00", None),
        (b"\x28\xb5\x2f\xfd\x04", None),
        (b"\x04\x22\x4d\x18", None),
        (b"\xff\x06\x00\x00sNaPpY", None),
        (b"\x84\xa4name", None),
        (b"\xde\x00\x10", None),
        (b"\x00\x00", None),
        (b"\x7fELF", None),
        (b"\xe2\x98", None),
    ],
)
def test_the_first_character_tells_the_format(data: bytes, found: InputFormat | None) -> None:
    assert detect_format(data) is found


def test_what_is_of_no_format_is_refused_whole() -> None:
    (refusal,) = parse_record(b"\x1f\x8b\x08\n" + INFLUX)

    assert isinstance(refusal, Refusal)
    assert (refusal.reason.value, refusal.start, refusal.end) == ("UNKNOWN_FORMAT", 0, 4 + len(INFLUX))


def test_a_format_that_is_set_is_not_questioned() -> None:
    assert [type(item) for item in parse_record(b"{a v=1", input_format=InputFormat.INFLUX)] == [ParsedMetric]
    assert [type(item) for item in parse_record(INFLUX, input_format=InputFormat.JSON)] == [Refusal]


def test_a_record_above_the_limit_is_refused_whole() -> None:
    (refusal,) = parse_record(INFLUX, max_bytes=len(INFLUX) - 1)

    assert isinstance(refusal, Refusal)
    assert (refusal.reason.value, refusal.message) == ("TOO_LARGE", "the record has 31 bytes, allowed are 30")


def test_a_record_at_the_limit_is_read() -> None:
    assert [type(item) for item in parse_record(INFLUX, max_bytes=len(INFLUX))] == [ParsedMetric]


def test_each_format_has_its_own_unit() -> None:
    items = [
        item
        for data in (b"cpu value=1 5", b'{"name":"cpu","fields":{"value":1},"timestamp":5}')
        for item in parse_record(data, influx_unit=TimestampUnit.MS, json_unit=TimestampUnit.US)
    ]

    assert [item.time_ns for item in items if isinstance(item, ParsedMetric)] == [5_000_000, 5_000]


@given(st.binary(max_size=100))
def test_no_bytes_raise(data: bytes) -> None:
    list(parse_record(data))

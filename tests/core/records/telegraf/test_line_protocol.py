"""Line protocol is read as Telegraf reads it: its own cases, recorded ones, and what no case may do."""

import math
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.records.telegraf.line_protocol import parse_line_protocol
from pipeline.core.records.telegraf.parsed import FieldValue, ParsedMetric, Refusal, TimestampUnit
from schemas.reasons import DeadLetterReason
from tests.support.core.cases import telegraf_cases

CASES = [case for name in ("machine.json", "parser.json", "recorded.json") for case in telegraf_cases(name)]


def parse(text: str | bytes, unit: TimestampUnit = TimestampUnit.AUTO) -> list[ParsedMetric | Refusal]:
    return list(parse_line_protocol(text.encode() if isinstance(text, str) else text, unit=unit))


def parse_one(text: str | bytes, unit: TimestampUnit = TimestampUnit.AUTO) -> ParsedMetric:
    (item,) = parse(text, unit)
    assert isinstance(item, ParsedMetric), item
    return item


def refuse_one(text: str | bytes, unit: TimestampUnit = TimestampUnit.AUTO) -> Refusal:
    (item,) = parse(text, unit)
    assert isinstance(item, Refusal), item
    return item


def as_case(item: ParsedMetric | Refusal) -> dict[str, Any]:
    if isinstance(item, Refusal):
        return {"line": item.line, "column": item.column, "reason": item.reason.value}
    fields = {key: (type(value).__name__, value) for key, value in item.fields.items()}
    return {"measurement": item.measurement, "tags": item.tags, "fields": fields, "time_ns": item.time_ns}


def expected(entry: dict[str, Any]) -> dict[str, Any]:
    if "reason" in entry:
        return {key: entry[key] for key in ("line", "column", "reason")}
    return entry | {"fields": {key: (type(value).__name__, value) for key, value in entry["fields"].items()}}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_every_case_of_telegraf_comes_out_as_there(case: dict[str, Any]) -> None:
    items = parse(case["input"], TimestampUnit(case.get("unit", "ns")))

    assert [as_case(item) for item in items] == [expected(entry) for entry in case["expect"]]


def test_fields_and_tags_keep_the_order_of_the_input() -> None:
    metric = parse_one("cpu,z=1,a=2 z=1,a=2,m=3")

    assert list(metric.tags) == ["z", "a"]
    assert list(metric.fields) == ["z", "a", "m"]


def test_the_last_of_a_repeated_key_wins() -> None:
    metric = parse_one("cpu,host=a,host=b value=1,value=2i")

    assert metric.tags == {"host": "b"}
    assert metric.fields == {"value": 2}


@pytest.mark.parametrize("text", ["", "\n", " \t\r\n\r\n", "# only a comment", "# one\n  # two\n", "\r"])
def test_white_space_and_comments_give_nothing(text: str) -> None:
    assert parse(text) == []


def test_line_numbers_count_the_line_feeds_in_strings_comments_and_bad_lines() -> None:
    items = parse('a v="1\n2\r\n3" 1\n# c\n\nb v=x\nc v=1\r\nd v=1')

    assert [(item.line, isinstance(item, ParsedMetric)) for item in items] == [
        (1, True),
        (6, False),
        (7, True),
        (8, True),
    ]


def test_spans_leave_out_leading_space_and_the_line_end() -> None:
    data = b"  a v=1 5 \r\n b v=x y\r\nc v=1"

    assert [data[item.start : item.end] for item in parse(data)] == [b"a v=1 5 ", b"b v=x y", b"c v=1"]


def test_a_carriage_return_cut_off_from_its_line_feed_ends_the_last_line() -> None:
    assert parse_one("cpu v=1\r").fields == {"v": 1.0}


@pytest.mark.parametrize(("text", "value"), [("1e400", math.inf), ("-1e400", -math.inf), ("1" * 400, math.inf)])
def test_a_float_beyond_the_range_is_infinite_and_no_error(text: str, value: float) -> None:
    assert parse_one(f"cpu v={text}").fields == {"v": value}


@pytest.mark.parametrize("text", ["NaN", "nan", "inf", "-inf", "Infinity"])
def test_words_for_numbers_that_are_not_finite_are_malformed_numbers(text: str) -> None:
    assert refuse_one(f"cpu v={text}").reason is DeadLetterReason.PARSE_NUMBER


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [
        (b"c\xffu v=1", 1, 2),
        (b"cpu,a=\xe2\x98 v=1", 1, 7),
        (b"cpu,\xc0\x80=b v=1", 1, 5),
        (b"cpu v\xff=1", 1, 6),
        (b'cpu v="a\nb\xed\xa0\x80"', 2, 2),
    ],
)
def test_text_that_is_no_utf8_is_refused_at_the_bad_byte(data: bytes, line: int, column: int) -> None:
    refusal = refuse_one(data)

    assert (refusal.line, refusal.column, refusal.reason) == (line, column, DeadLetterReason.PARSE_SYNTAX)
    assert "UTF-8" in refusal.message


def test_what_follows_a_string_that_is_no_utf8_is_not_read_as_a_line() -> None:
    items = parse(b'a v="\xff\nb v=1" 5\nc v=2')

    assert [item.line for item in items] == [1, 3]
    assert isinstance(items[1], ParsedMetric)


def test_a_comment_may_hold_any_bytes() -> None:
    assert parse_one(b"# \xff\x00\xfe\ncpu v=1").line == 2


@pytest.mark.parametrize(
    ("timestamp", "unit", "time_ns"),
    [
        ("1516241192", "auto", 1516241192_000_000_000),
        ("1516241192000", "auto", 1516241192_000_000_000),
        ("1516241192000000", "auto", 1516241192_000_000_000),
        ("1516241192000000000", "auto", 1516241192_000_000_000),
        ("42", "auto", 42),
        ("-42", "ms", -42_000_000),
    ],
)
def test_timestamps_come_out_in_nanoseconds(timestamp: str, unit: str, time_ns: int) -> None:
    assert parse_one(f"cpu v=1 {timestamp}", TimestampUnit(unit)).time_ns == time_ns


def test_a_timestamp_that_does_not_fit_after_conversion_is_out_of_range() -> None:
    refusal = refuse_one("cpu v=1 9223372037", TimestampUnit.S)

    assert (refusal.reason, refusal.column) == (DeadLetterReason.TIMESTAMP_RANGE, 19)


def test_messages_say_what_came_and_stay_short() -> None:
    refusal = refuse_one("cpu v=" + "9" * 10_000 + "i")

    assert "does not fit, allowed are -9223372036854775808 to 9223372036854775807" in refusal.message
    assert len(refusal.message) < 300


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\v\f\r\\"), min_size=1, max_size=8)
VALUES = (
    st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
)


def escaped(name: str, special: str) -> str:
    for character in special:
        name = name.replace(character, "\\" + character)
    return name


def encoded_value(value: FieldValue) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value}i"
    if isinstance(value, float):
        return repr(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(
    measurement=NAMES.filter(lambda name: not name.startswith("#")),
    tags=st.dictionaries(NAMES, NAMES, max_size=4),
    fields=st.dictionaries(NAMES, VALUES, min_size=1, max_size=4),
    time_ns=st.none() | st.integers(-(2**63), 2**63 - 1),
    line_end=st.sampled_from(["", "\n", "\r\n", " \n"]),
)
def test_what_an_encoder_wrote_comes_back(
    measurement: str,
    tags: dict[str, str],
    fields: dict[str, FieldValue],
    time_ns: int | None,
    line_end: str,
) -> None:
    line = escaped(measurement, ", ")
    line += "".join(f",{escaped(key, ',= ')}={escaped(value, ',= ')}" for key, value in tags.items())
    line += " " + ",".join(f"{escaped(key, ',= ')}={encoded_value(value)}" for key, value in fields.items())
    line += "" if time_ns is None else f" {time_ns}"

    metric = parse_one(line + line_end, TimestampUnit.NS)

    assert (metric.measurement, metric.tags, metric.time_ns) == (measurement, tags, time_ns)
    assert [(k, type(v), v) for k, v in metric.fields.items()] == [(k, type(v), v) for k, v in fields.items()]


FRAGMENTS = [
    "cpu",
    ",",
    "=",
    " ",
    "\\",
    '"',
    "\n",
    "\r",
    "#",
    "1",
    "i",
    "u",
    "e",
    "-",
    ".",
    "true",
    "v=1",
    ",h=a",
    "\0",
    "☺",
]


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from(FRAGMENTS), max_size=40).map(lambda parts: "".join(parts).encode())
)
def test_no_bytes_raise_and_the_spans_follow_one_another(data: bytes) -> None:
    end = 0
    for item in parse(data):
        assert end <= item.start < item.end <= len(data)
        assert item.line == data.count(b"\n", 0, item.start) + 1 or isinstance(item, Refusal)
        end = item.end


@given(
    good=st.sampled_from(["cpu,h=a v=1 5", "m v=2i"]),
    bad=st.text(st.sampled_from("cpu,= \\1i#"), min_size=1, max_size=12),
)
def test_a_bad_line_costs_no_other(good: str, bad: str) -> None:
    items = parse(f"{good}\n{bad}\n{good}")

    assert isinstance(items[0], ParsedMetric)
    assert isinstance(items[-1], ParsedMetric)
    assert items[-1].line == 3


HUGE: dict[str, Callable[[int], bytes]] = {
    "tag": lambda n: b"cpu,h=" + b"x" * n + b" v=1",
    "backslashes": lambda n: b"\\" * n,
    "tag of backslashes": lambda n: b"cpu,h=" + b"\\" * n,
    "field of backslashes": lambda n: b"cpu " + b"\\" * n,
    "string of backslashes": lambda n: b'cpu v="' + b"\\" * n + b'"',
    "open string": lambda n: b'cpu v="' + b"x\n" * (n // 2),
    "integer": lambda n: b"cpu v=" + b"1" * n + b"i",
    "float": lambda n: b"cpu v=0." + b"1" * n,
    "timestamp": lambda n: b"cpu v=1 " + b"1" * n,
    "word": lambda n: b"cpu v=" + b"t" * n,
    "carriage returns": lambda n: b"\r" * n,
    "spaces": lambda n: b" " * n,
    "tags": lambda n: b"cpu" + b",a=b" * (n // 4),
    "fields": lambda n: b"cpu a=1" + b",a=1" * (n // 4),
    "bad lines": lambda n: b"cpu v=x\n" * (n // 8),
}


@pytest.mark.parametrize("name", HUGE)
def test_the_time_grows_with_the_size_not_with_its_square(name: str) -> None:
    def cost_s(size: int) -> float:
        data = HUGE[name](size)
        started = time.process_time()
        for _ in parse_line_protocol(data):
            pass
        return time.process_time() - started

    # Eight times the size: a square law would take 64 times as long. The floor keeps short times out of it.
    assert cost_s(1_000_000) < 24 * max(min(cost_s(125_000) for _ in range(2)), 0.01)

"""Telegraf's JSON is read in both shapes, one bad metric costs no other, and nothing makes the reader fail."""

import json
import math
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.records.telegraf.line_protocol import parse_line_protocol
from pipeline.core.records.telegraf.parsed import ParsedMetric, Refusal, TimestampUnit
from pipeline.core.records.telegraf.telegraf_json import parse_json
from schemas.reasons import DeadLetterReason
from tests.support.core.cases import DATA, telegraf_cases

GOOD = '{"name":"cpu","tags":{"host":"a"},"fields":{"value":1},"timestamp":1516241192}'


def parse(text: str | bytes, unit: TimestampUnit = TimestampUnit.AUTO) -> list[ParsedMetric | Refusal]:
    return list(parse_json(text.encode() if isinstance(text, str) else text, unit=unit))


def parse_one(text: str | bytes) -> ParsedMetric:
    (item,) = parse(text)
    assert isinstance(item, ParsedMetric), item
    return item


def refuse_one(text: str | bytes) -> Refusal:
    (item,) = parse(text)
    assert isinstance(item, Refusal), item
    return item


def outcome(items: list[ParsedMetric | Refusal]) -> list[str]:
    return [item.reason.value if isinstance(item, Refusal) else "ok" for item in items]


def with_field(value: str) -> str:
    return f'{{"name":"cpu","fields":{{"v":{value}}}}}'


@pytest.mark.parametrize("case", telegraf_cases("json.json"), ids=lambda case: case["name"])
def test_every_case_of_telegraf_comes_out_as_there(case: dict[str, Any]) -> None:
    items = parse(case["input"], TimestampUnit(case.get("unit", "auto")))

    assert [
        {"line": item.line, "column": item.column, "reason": item.reason.value}
        if isinstance(item, Refusal)
        else {"measurement": item.measurement, "tags": item.tags, "fields": item.fields, "time_ns": item.time_ns}
        for item in items
    ] == case["expect"]


@pytest.mark.parametrize(
    "text",
    [
        f"{GOOD}\n{GOOD}\n",
        f"{GOOD}{GOOD}",
        f" {GOOD}\r\n\r\n\t{GOOD}",
        f"[{GOOD},{GOOD}]",
        f'{{"metrics":[{GOOD},{GOOD}]}}',
        f'{{"agent":"x","metrics":[{GOOD}],"more":[1,{{}}]}}\n{GOOD}',
        f'[{{"metrics":[{GOOD}]}},{GOOD}]',
        f'{{"metrics":[\n{GOOD},\n{GOOD}\n]}}',
        "\ufeff" + GOOD + GOOD,
    ],
)
def test_one_object_a_batch_a_list_and_documents_in_a_row_are_all_read(text: str) -> None:
    items = parse(text)

    assert [(item.measurement, item.fields) for item in items if isinstance(item, ParsedMetric)] == [
        ("cpu", {"value": 1})
    ] * 2
    assert len(items) == 2


@pytest.mark.parametrize("text", ["", " \n", '{"metrics":[]}', "[]", "[ ]\n[]"])
def test_nothing_gives_nothing(text: str) -> None:
    assert parse(text) == []


def test_a_document_over_several_lines_is_read_and_the_next_starts_on_its_line() -> None:
    pretty = json.dumps({"name": "cpu", "tags": {}, "fields": {"v": 1}}, indent=2)

    assert [item.line for item in parse(f"{pretty}\n{pretty}\n")] == [1, 8]


def test_spans_hold_exactly_the_metric() -> None:
    data = f'{{"metrics":[{GOOD}, {GOOD}]}}'.encode()

    assert [data[item.start : item.end].decode() for item in parse(data)] == [GOOD, GOOD]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        ("42.0", 42.0),
        ("-0.5e-3", -0.0005),
        ("true", True),
        ('"x y"', "x y"),
        ('"\\u263a\\ud83d\\ude00"', "☺😀"),
        ("9007199254740993", 2**53 + 1),
        ("18446744073709551616", 2**64),
        ("1" + "0" * 400, 10**400),
        ("1e400", math.inf),
        ("-1e400", -math.inf),
        ("Infinity", math.inf),
    ],
)
def test_a_value_keeps_its_type_and_all_its_digits(text: str, value: object) -> None:
    (found,) = parse_one(with_field(text)).fields.values()

    assert (type(found), found) == (type(value), value)


def test_nan_is_a_float_that_is_no_number() -> None:
    (value,) = parse_one(with_field("NaN")).fields.values()

    assert isinstance(value, float)
    assert math.isnan(value)


def test_half_a_surrogate_pair_becomes_the_replacement_character() -> None:
    metric = parse_one('{"name":"\\ud800n","tags":{"\\udc00":"\\ud800"},"fields":{"f\\ud800":"v\\ud800"}}')

    assert (metric.measurement, metric.tags, metric.fields) == ("\ufffdn", {"\ufffd": "\ufffd"}, {"f\ufffd": "v\ufffd"})


def test_null_fields_and_tags_are_left_out() -> None:
    metric = parse_one('{"name":"cpu","tags":{"a":null,"b":"x"},"fields":{"v":null,"w":1},"timestamp":null}')

    assert (metric.tags, metric.fields, metric.time_ns) == ({"b": "x"}, {"w": 1}, None)


def test_tags_that_are_no_strings_become_their_json_text() -> None:
    metric = parse_one('{"name":"cpu","tags":{"a":1,"b":2.5,"c":true,"d":false},"fields":{"v":1}}')

    assert metric.tags == {"a": "1", "b": "2.5", "c": "true", "d": "false"}


@pytest.mark.parametrize("tags", ["", '"tags":null,', '"tags":{},'])
def test_tags_may_be_missing(tags: str) -> None:
    assert parse_one(f'{{{tags}"name":"cpu","fields":{{"v":1}}}}').tags == {}


@pytest.mark.parametrize(
    ("timestamp", "time_ns"),
    [
        ("0", 0),
        ("42", 42_000_000_000),
        ("1516241192", 1516241192_000_000_000),
        ("1516241192.25", 1516241192_250_000_000),
        ("1516241192000", 1516241192_000_000_000),
        ("1516241192123456789", 1516241192_123_456_789),
        ("-1", -1_000_000_000),
    ],
)
def test_timestamps_come_out_in_nanoseconds_and_small_ones_are_seconds(timestamp: str, time_ns: int) -> None:
    assert parse_one(f'{{"name":"cpu","fields":{{"v":1}},"timestamp":{timestamp}}}').time_ns == time_ns


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (with_field('{"a":1}'), "PARSE_SYNTAX"),
        (with_field("[1]"), "PARSE_SYNTAX"),
        (with_field("01"), "PARSE_NUMBER"),
        (with_field("1."), "PARSE_NUMBER"),
        (with_field(".5"), "PARSE_NUMBER"),
        (with_field("+1"), "PARSE_NUMBER"),
        (with_field("1x"), "PARSE_NUMBER"),
        (with_field("-"), "PARSE_NUMBER"),
        (with_field("1 2"), "PARSE_SYNTAX"),
        (with_field("nul"), "PARSE_SYNTAX"),
        (with_field("1" * 5000), "PARSE_NUMBER"),
        (with_field('"\\x"'), "PARSE_SYNTAX"),
        ('{"name":"cpu","fields":{}}', "NO_FIELDS"),
        ('{"name":"cpu","fields":{"v":null}}', "NO_FIELDS"),
        ('{"name":"cpu"}', "NO_FIELDS"),
        ('{"name":"cpu","fields":[1]}', "PARSE_SYNTAX"),
        ('{"name":"cpu","fields":{"":1}}', "PARSE_SYNTAX"),
        ('{"name":"","fields":{"v":1}}', "PARSE_SYNTAX"),
        ('{"name":5,"fields":{"v":1}}', "PARSE_SYNTAX"),
        ('{"fields":{"v":1}}', "PARSE_SYNTAX"),
        ('{"name":"cpu","tags":[],"fields":{"v":1}}', "PARSE_SYNTAX"),
        ('{"name":"cpu","tags":{"a":{}},"fields":{"v":1}}', "PARSE_SYNTAX"),
        ('{"name":"cpu","fields":{"v":1},"timestamp":"x"}', "PARSE_SYNTAX"),
        ('{"name":"cpu","fields":{"v":1},"timestamp":true}', "PARSE_SYNTAX"),
        ('{"name":"cpu","fields":{"v":1},"timestamp":1e400}', "TIMESTAMP_RANGE"),
        ('{"name":"cpu","fields":{"v":1},"timestamp":9223372036854775808}', "TIMESTAMP_RANGE"),
        ('{"metrics":7}', "PARSE_SYNTAX"),
        ("{}", "PARSE_SYNTAX"),
        ("7", "PARSE_SYNTAX"),
        ('{"metrics":[7]}', "PARSE_SYNTAX"),
    ],
)
def test_what_is_no_metric_is_refused_with_its_reason(text: str, reason: str) -> None:
    assert refuse_one(text).reason.value == reason


def test_a_bad_metric_in_a_batch_is_refused_alone() -> None:
    bad = ['{"name":1}', "7", '{"name":"cpu","fields":{"v":01}}', '{"a":[}]', "[[]]"]

    items = parse('{"metrics":[' + ",".join(f"{GOOD},{text}" for text in bad) + f",{GOOD}]}}")

    assert [isinstance(item, ParsedMetric) for item in items] == [True, False] * len(bad) + [True]


@pytest.mark.parametrize("bad", ['{"name":"cpu"', '{"name":"cp', '{"name":"cpu","fields":{"v":1', "{x}", "nonsense"])
def test_a_bad_line_costs_no_other(bad: str) -> None:
    assert outcome(parse(f"{GOOD}\n{bad}\n{GOOD}\n")) == ["ok", "PARSE_SYNTAX", "ok"]


def test_a_batch_that_is_cut_off_gives_what_was_whole_and_refuses_the_rest() -> None:
    text = f'{{"metrics":[{GOOD},{{"name":"cp'

    good, bad = parse(text)

    assert isinstance(good, ParsedMetric)
    assert isinstance(bad, Refusal)
    assert (bad.start, bad.end) == (good.end, len(text))


def test_a_batch_that_is_cut_off_before_whole_lines_gives_them() -> None:
    assert outcome(parse(f'{{"metrics":[\n{GOOD},\n{GOOD}\n')) == ["ok", "ok", "PARSE_SYNTAX"]


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        (with_field("1x"), 1, 30),
        (f'{GOOD}\n{{"name":"☺","fields":{{"v":1.}}}}', 2, 30),
        (f'{{"metrics":[{GOOD},\n 7]}}', 2, 2),
        ('{"a" 1}', 1, 6),
        ('{"a":"x\ny"}', 1, 8),
    ],
)
def test_a_refusal_points_at_the_broken_byte(text: str, line: int, column: int) -> None:
    refusal = next(item for item in parse(text) if isinstance(item, Refusal))

    assert (refusal.line, refusal.column) == (line, column)


def test_text_that_is_no_utf8_is_refused_at_the_bad_byte() -> None:
    refusal = refuse_one(b'{"name":"c\xff"}')

    assert (refusal.column, refusal.reason) == (11, DeadLetterReason.PARSE_SYNTAX)


@pytest.mark.parametrize("depth", [64, 100_000])
def test_a_metric_nested_too_deep_is_refused_alone(depth: int) -> None:
    items = parse(f"{with_field('[' * depth + ']' * depth)}\n{GOOD}")

    assert outcome(items) == ["PARSE_SYNTAX", "ok"]
    assert isinstance(items[0], Refusal)
    assert f"nested {depth + 2} levels deep, allowed are 64" in items[0].message


@pytest.mark.parametrize("name", ["cpu", "net", "system", "procstat", "disk", "batch"])
def test_both_formats_of_one_capture_give_the_same_metrics(name: str) -> None:
    def content(item: ParsedMetric | Refusal) -> tuple[Any, ...]:
        assert isinstance(item, ParsedMetric), item
        # JSON does not say whether a whole number was a float, and writes its keys sorted.
        return item.measurement, item.tags, item.fields, item.time_ns

    influx = parse_line_protocol((DATA / "telegraf" / f"{name}.lp").read_bytes())
    json_items = parse((DATA / "telegraf" / f"{name}.json").read_bytes())

    assert [content(item) for item in influx] == [content(item) for item in json_items]
    assert len(json_items) >= 40


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=10,
)


@given(
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    tags=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text(st.characters(exclude_categories=["Cs"]))
    ),
    fields=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(exclude_categories=["Cs"])),
        min_size=1,
    ),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 0, 2]),
)
def test_what_an_encoder_wrote_comes_back(
    name: str, tags: dict[str, str], fields: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    document = {"name": name, "tags": tags, "fields": fields, "timestamp": 1516241192}

    metric = parse_one(json.dumps(document, ensure_ascii=ascii_only, indent=indent))

    assert (metric.measurement, metric.tags) == (name, tags)
    assert [(k, type(v), v) for k, v in metric.fields.items()] == [(k, type(v), v) for k, v in fields.items()]


@given(parts=st.lists(JSON_VALUES, max_size=4), wrap=st.sampled_from(["{}", "[{}]", '{{"metrics":[{}]}}']))
def test_json_of_any_shape_does_not_raise(parts: list[Any], wrap: str) -> None:
    parse(wrap.format(",".join(json.dumps(part) for part in parts)))


FRAGMENTS = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"',
    "\\",
    "\n",
    '"metrics"',
    '"name":"a"',
    '"fields":{"v":1}',
    "1",
    "-",
    "e",
    "null",
    GOOD,
]


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from(FRAGMENTS), max_size=30).map(lambda parts: "".join(parts).encode())
)
def test_no_bytes_raise_and_the_spans_follow_one_another(data: bytes) -> None:
    end = 0
    for item in parse(data):
        assert item.start < item.end <= len(data)
        assert item.start >= end - 1  # the end of a batch that is cut off behind a whole metric
        end = item.end


HUGE: dict[str, Callable[[int], bytes]] = {
    "open lists": lambda n: b"[" * n,
    "open objects": lambda n: b'{"a":' * (n // 5),
    "open objects, one a line": lambda n: b'{"a":\n' * (n // 6),
    "open batches": lambda n: b'{"metrics":[' * (n // 12),
    "nested": lambda n: with_field("[" * (n // 2) + "]" * (n // 2)).encode(),
    "backslashes": lambda n: b'{"' + b"\\" * n,
    "tag": lambda n: b'{"name":"a","tags":{"h":"' + b"x" * n + b'"},"fields":{"v":1}}',
    "integer": lambda n: with_field("1" * n).encode(),
    "float": lambda n: with_field("0." + "1" * n).encode(),
    "empty objects on one line": lambda n: b"{}" * (n // 20),
    "numbers in a batch": lambda n: b'{"metrics":[' + b"1," * (n // 20) + b"1]}",
    "bad lines": lambda n: b'{"name":\n' * (n // 90),
}


@pytest.mark.parametrize("name", HUGE)
def test_the_time_grows_with_the_size_not_with_its_square(name: str) -> None:
    def cost_s(size: int) -> float:
        data = HUGE[name](size)
        started = time.process_time()
        for _ in parse_json(data):
            pass
        return time.process_time() - started

    # Eight times the size: a square law would take 64 times as long. The floor keeps short times out of it.
    assert cost_s(1_000_000) < 24 * max(min(cost_s(125_000) for _ in range(2)), 0.01)

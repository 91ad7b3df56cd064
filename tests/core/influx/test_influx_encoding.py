"""A window as a line of line protocol, judged by reading it back."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.influx.windows import encode_window
from pipeline.core.records.telegraf.line_protocol import parse_line_protocol
from pipeline.core.records.telegraf.parsed import ParsedMetric, TimestampUnit


def window(**changes: Any) -> dict[str, Any]:
    return {"measurement": "cpu", "tags": {"host": "a"}, "start_ms": 60_000, "fields": {"x": functions()}} | changes


def functions(**changes: Any) -> dict[str, Any]:
    return {"min": 1.0, "max": 3.5, "avg": 2.25, "last": 3.0, "first": 1.0, "sum": 9.0, "count": 4} | changes


def read_back(line: bytes) -> ParsedMetric:
    (metric,) = parse_line_protocol(line, unit=TimestampUnit.MS)
    assert isinstance(metric, ParsedMetric), metric
    return metric


# No backslashes here: how Telegraf unescapes them depends on what stands around; see the tests of real stores.
NAMES = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\\"), min_size=1, max_size=12
).filter(lambda name: not name.startswith("#"))
FINITE = st.floats(allow_nan=False, allow_infinity=False)
GAUGES = st.fixed_dictionaries(
    {
        "min": FINITE,
        "max": FINITE,
        "avg": FINITE,
        "last": FINITE,
        "first": FINITE,
        "sum": FINITE,
        "count": st.integers(1, 2**63 - 1),
    }
)
COUNTERS = st.builds(lambda gauge, counter: gauge | counter, GAUGES, st.fixed_dictionaries({}, optional={
    "increase": FINITE | st.none(),
    "rate": FINITE | st.none(),
}))  # fmt: skip


@given(
    measurement=NAMES,
    tags=st.dictionaries(NAMES, NAMES, max_size=4),
    start_ms=st.integers(-(2**40), 2**42),
    fields=st.dictionaries(NAMES, GAUGES | COUNTERS, min_size=1, max_size=4),
)
def test_what_is_read_back_is_what_was_written(
    measurement: str, tags: dict[str, str], start_ms: int, fields: dict[str, dict[str, Any]]
) -> None:
    metric = read_back(encode_window(window(measurement=measurement, tags=tags, start_ms=start_ms, fields=fields)))
    stored = ("min", "max", "avg", "last", "count", "increase", "rate")
    expected = {
        f"{name}_{function}": values[function]
        for name, values in fields.items()
        for function in stored
        if values.get(function) is not None
    }
    assert (metric.measurement, metric.tags) == (measurement, tags)
    assert metric.fields == expected
    assert all(isinstance(value, int) is name.endswith("_count") for name, value in metric.fields.items())
    assert metric.time_ns == start_ms * 1_000_000


def test_a_gauge_and_a_counter_have_their_functions_in_a_fixed_order() -> None:
    fields = {"load": functions(), "bytes": functions(increase=8.0, rate=0.5)}
    assert encode_window(window(tags={}, fields=fields)) == (
        b"cpu load_min=1.0,load_max=3.5,load_avg=2.25,load_last=3.0,load_count=4i,"
        b"bytes_min=1.0,bytes_max=3.5,bytes_avg=2.25,bytes_last=3.0,bytes_count=4i,bytes_increase=8.0,bytes_rate=0.5"
        b" 60000"
    )


def test_whole_numbers_are_floats_except_the_count() -> None:
    fields = {"x": functions(min=1, max=10**18, avg=2, last=3)}
    assert encode_window(window(tags={}, fields=fields)) == (
        b"cpu x_min=1,x_max=1000000000000000000,x_avg=2,x_last=3,x_count=4i 60000"
    )


def test_tags_are_sorted_and_empty_ones_left_out() -> None:
    line = encode_window(window(tags={"z": "1", "a": "2", "empty": "", "": "x"}))
    assert line.startswith(b"cpu,a=2,z=1 ")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a b", rb"a\ b"),
        ("a,b=c", rb"a\,b\=c"),
        ("C:\\", b"C:"),
        ("C:\\dir", b"C:\\dir"),
        ("a\\,b", rb"a\\,b"),
        ("two\nlines\r\t\f\v", rb"two\nlines\r\t\f\v"),
        ('say "hi"', rb'say\ "hi"'),
        ("50%", b"50%"),
        ("값", "값".encode()),
    ],
)
def test_a_tag_is_escaped(name: str, written: bytes) -> None:
    assert encode_window(window(tags={"t": name})).startswith(b"cpu,t=" + written + b" x_min=")


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("function", ["min", "max", "avg", "last", "increase", "rate"])
def test_a_value_that_no_database_holds_is_left_out_alone(function: str, missing: float | None) -> None:
    fields = {"x": functions(increase=1.0, rate=2.0) | {function: missing}, "y": functions()}
    metric = read_back(encode_window(window(fields=fields)))
    assert len(metric.fields) == 6 + 5
    assert f"x_{function}" not in metric.fields


def test_values_whose_sum_overflows_are_written() -> None:
    assert (
        read_back(encode_window(window(fields={"x": functions(min=1.7e308, max=1.7e308)}))).fields["x_max"] == 1.7e308
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measurement": ""}, "the measurement '' cannot stand in line protocol"),
        ({"measurement": "#1"}, "the measurement '#1' cannot stand in line protocol"),
        ({"measurement": "a\\,b"}, r"the measurement 'a\\\\,b' cannot stand in line protocol"),
        ({"fields": {'a\\"b': functions()}}, r"the field 'a\\\\\"b' cannot stand in line protocol"),
        ({"measurement": 5}, "not a record of metrics.agg"),
        ({"tags": None}, "not a record of metrics.agg"),
        ({"tags": {"host": 1}}, "not a record of metrics.agg"),
        ({"start_ms": "soon"}, "format code 'd'"),
        ({"fields": {}}, "the window has no field"),
        ({"fields": {"x": {}}}, "not a record of metrics.agg: KeyError: 'count'"),
        ({"fields": {"": functions()}}, "a field has an empty name"),
        ({"fields": {"x": functions(count=1.5)}}, "x.count is 1.5, not an integer"),
        ({"fields": {"x": functions(count=True)}}, "x.count is True, not an integer"),
        ({"fields": {"x": functions(avg="2")}}, "x.avg is str, not a number"),
        ({"fields": {"x": functions(avg=True)}}, "x.avg is bool, not a number"),
        ({"fields": {"x": functions(avg=[1])}}, "x.avg is list, not a number"),
        ({"fields": {"x": functions(min=1, max=2, avg=False)}}, "x.avg is bool, not a number"),
        ({"tags": {"t": "x" * 1_000_000}}, "a line of 10.* bytes, at most 1000000"),
        ({"tags": {"t": "\ud800"}}, "surrogates not allowed"),
    ],
)
def test_what_is_no_window_is_refused_with_the_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_window(window(**changes))

"""Flux queries as text. Every name that comes from outside is a string literal made by `string_literal`."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LATEST_MS = 9_223_372_036_854  # what fits in 64-bit nanoseconds

# How the windows of a range are reduced to one value; the mean of samples (avg) needs the counts beside it.
_REDUCTIONS = {
    "min": "min()",
    "max": "max()",
    "last": "last()",
    "count": "sum()",
    "increase": "sum()",
    "rate": "mean()",
}


class Selection(NamedTuple):
    """The rows that are asked for: those of a measurement over a range, its start included, with these tags."""

    bucket: str
    measurement: str
    start_ms: int
    end_ms: int
    tags: Mapping[str, str]


def string_literal(text: str) -> str:
    r"""Return ``text`` as a Flux string literal: nothing in it ends the literal or is evaluated.

    Examples
    --------
    >>> print(string_literal('a"b ${1+1}'))
    "a\"b \${1+1}"
    """
    return '"' + "".join(_ESCAPES.get(character, character) for character in text).replace("${", "\\${") + '"'


def range_query(selection: Selection, field: str, *, max_points: int) -> str:
    """Return the query for one stored field over a range, oldest first, as one table."""
    return (
        _source(selection, [field])
        + f"  |> limit(n: {max_points:d})\n"
        + '  |> group()\n  |> sort(columns: ["_time"])\n'
        + f"  |> limit(n: {max_points:d})\n"
    )


def top_query(selection: Selection, field: str, function: str, *, n: int, by_tag: str | None) -> str:
    """Return the query for the series with the greatest value over a range, greatest first, as one table."""
    if function == "avg":
        reduced = _mean_of_samples(selection, field)
    else:
        reduced = f"{_source(selection, [f'{field}_{function}'])}  |> {_REDUCTIONS[function]}\n"
    if by_tag is not None:
        tag = string_literal(by_tag)
        reduced += f"  |> filter(fn: (r) => exists {_tag(by_tag)})\n  |> group(columns: [{tag}])\n  |> max()\n"
        reduced += f'  |> keep(columns: [{tag}, "_value"])\n'
    return f"{reduced}  |> group()\n  |> top(n: {n:d})\n"


def scan_query(bucket: str, *, start_ms: int, end_ms: int) -> str:
    """Return the query for all that a bucket has of a range."""
    return f'{_range(bucket, start_ms=start_ms, end_ms=end_ms)}  |> drop(columns: ["_start", "_stop"])\n'


def history_query(selection: Selection, fields: Sequence[str]) -> str:
    """Return the query for some fields of down-sampled history over a range, a row a value."""
    return _source(selection, fields) + '  |> drop(columns: ["_start", "_stop"])\n'


def stored_chunks_query(bucket: str, series: Sequence[str], *, start_ms: int, end_ms: int) -> str:
    """Return the query for start, span and revision of the chunks of some series (hexadecimal digits) in a range."""
    if not all(re.fullmatch("[0-9a-f]+", each) for each in series):
        raise ValueError("series must be named by hexadecimal digits")
    return (
        f"{_range(bucket, start_ms=start_ms, end_ms=end_ms)}"
        '  |> filter(fn: (r) => r._field == "revision" or r._field == "span_ms")\n'
        f"  |> filter(fn: (r) => r.sid =~ /^({'|'.join(series)})$/)\n"
        '  |> keep(columns: ["sid", "_time", "_field", "_value"])\n'
        '  |> pivot(rowKey: ["sid", "_time"], columnKey: ["_field"], valueColumn: "_value")\n'
    )


def _source(selection: Selection, fields: Sequence[str]) -> str:
    wanted = " or ".join(f"r._field == {string_literal(name)}" for name in fields)
    conditions = [f"r._measurement == {string_literal(selection.measurement)}", f"({wanted})"]
    conditions += [f"{_tag(key)} == {string_literal(value)}" for key, value in sorted(selection.tags.items())]
    bounds = _range(selection.bucket, start_ms=selection.start_ms, end_ms=selection.end_ms)
    return f"{bounds}  |> filter(fn: (r) => {' and '.join(conditions)})\n"


def _range(bucket: str, *, start_ms: int, end_ms: int) -> str:
    for bound_ms in (start_ms, end_ms):
        if abs(bound_ms) > _LATEST_MS:
            raise ValueError(f"{bound_ms} ms is beyond what InfluxDB can hold (64-bit nanoseconds)")
    return (
        f"from(bucket: {string_literal(bucket)})\n"
        f"  |> range(start: time(v: {start_ms * 1_000_000}), stop: time(v: {end_ms * 1_000_000}))\n"
    )


def _tag(key: str) -> str:
    """Return the expression for a row's tag; a key with ``@``, by which Flux finds nothing, is a ValueError."""
    if "@" in key:
        raise ValueError(f"InfluxDB's query language cannot ask for the tag {key!r}: its name has an @")
    return f"r[{string_literal(key)}]"


def _mean_of_samples(selection: Selection, field: str) -> str:
    average, count = string_literal(f"{field}_avg"), string_literal(f"{field}_count")
    return (
        _source(selection, [f"{field}_avg", f"{field}_count"])
        + '  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")\n'
        f"  |> filter(fn: (r) => exists r[{average}] and exists r[{count}])\n"
        "  |> reduce(identity: {_samples: 0, _total: 0.0}, fn: (r, accumulator) => ({\n"
        f"      _samples: accumulator._samples + r[{count}],\n"
        f"      _total: accumulator._total + r[{average}] * float(v: r[{count}]),\n"
        "    }))\n"
        "  |> group()\n"
        "  |> map(fn: (r) => ({r with _value: r._total / float(v: r._samples)}))\n"
        '  |> drop(columns: ["_samples", "_total"])\n'
    )

"""One line of InfluxDB line protocol for one closed window."""

from collections.abc import Mapping
from functools import lru_cache
from math import isfinite
from typing import Any

import orjson

from pipeline.core.influx.escaping import escaped_field_key, escaped_measurement, escaped_tag

STORED_FUNCTIONS = ("min", "max", "avg", "last", "count", "increase", "rate")
"""The functions that are written, in this order; ``sum`` and ``first`` serve roll-ups and stay on the topic."""

MAX_LINE_BYTES = 1_000_000
"""A window's line is a few kilobytes; a longer one than this is a mistake, and no store should have to find out."""

_CACHED_SHAPES = 4_096
_COUNTER = None  # stands behind a name whose field has the two counter functions


def encode_window(record: Mapping[str, Any]) -> bytes:
    r"""Encode one closed window as a line of line protocol, without a newline at its end.

    Parameters
    ----------
    record
        A record of ``metrics.agg``: ``measurement``, ``tags``, ``start_ms`` and ``fields``, which holds for each
        field's name the functions of the window by name.

    Returns
    -------
    bytes
        ``measurement,tag=… field_function=value,… start_ms``. The time is in milliseconds: write it with that
        precision. Tags are sorted by key; those with an empty value are left out, since InfluxDB refuses them.
        ``count`` is an integer, every other function is a float.

    Raises
    ------
    ValueError
        If the record is not of that shape, has no value that InfluxDB could hold, has an empty measurement or one
        that starts with ``#`` (which would read as a comment), or makes a line of more than `MAX_LINE_BYTES`.

    Notes
    -----
    Names are escaped as `pipeline.core.influx.escaping` says. A value that is null, NaN or infinite is left out.

    Examples
    --------
    >>> window = {"min": 1.0, "max": 3.5, "avg": 2.0, "last": 1.5, "first": 1.0, "sum": 8.0, "count": 4}
    >>> encode_window({"measurement": "cpu", "tags": {"host": "a b"}, "start_ms": 60000, "fields": {"user": window}})
    b'cpu,host=a\\ b user_min=1.0,user_max=3.5,user_avg=2.0,user_last=1.5,user_count=4i 60000'
    """
    try:
        tags = record["tags"]
        pairs = [escaped_tag(key, tags[key]) for key in sorted(tags)]
        fields = _fields(record["fields"])
        line = f"{escaped_measurement(record['measurement'])}{''.join(pairs)} {fields} {record['start_ms']:d}"
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a record of metrics.agg: {type(error).__name__}: {error}") from error
    encoded = line.encode()
    if len(encoded) > MAX_LINE_BYTES:
        raise ValueError(f"the window makes a line of {len(encoded)} bytes, at most {MAX_LINE_BYTES} are written")
    return encoded


def _fields(fields: Mapping[str, Mapping[str, Any]]) -> str:
    """Return all fields, written in one go: Python's own ``repr`` of 40 floats would take longer than all the rest."""
    shape: list[str | None] = []
    values: list[Any] = []
    for name, functions in fields.items():
        count = functions["count"]
        if type(count) is not int:
            raise ValueError(f"{name}.count is {count!r}, not an integer")
        values += (functions["min"], functions["max"], functions["avg"], functions["last"], count)
        shape.append(name)
        if "rate" in functions or "increase" in functions:
            values += (functions.get("increase"), functions.get("rate"))
            shape.append(_COUNTER)
    if not shape:
        raise ValueError("the window has no field")
    texts = orjson.dumps(values).decode()[1:-1]
    # null (also NaN, infinity), true, false, strings, arrays and objects all bring one of these characters
    if '"' in texts or "u" in texts or "s" in texts or "[" in texts or "{" in texts:
        return _fields_one_by_one(fields)
    return _template(tuple(shape)) % tuple(texts.split(","))


def _fields_one_by_one(fields: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what can be written of fields among which some value is missing, not finite or no number at all."""
    parts: list[str] = []
    for name, functions in fields.items():
        key = escaped_field_key(name)
        for function in STORED_FUNCTIONS:
            value = functions.get(function)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{name}.{function} is {type(value).__name__}, not a number")  # noqa: TRY004 - bad input
            if isfinite(value):
                parts.append(f"{key}_{function}={value!r}{'i' if function == 'count' else ''}")
    return ",".join(parts)


@lru_cache(maxsize=_CACHED_SHAPES)
def _template(shape: tuple[str | None, ...]) -> str:
    """Return the fields with a ``%s`` for each value."""
    parts: list[str] = []
    for position, name in enumerate(shape):
        if name is None:
            continue
        key = escaped_field_key(name).replace("%", "%%")
        counter = shape[position + 1 : position + 2] == (_COUNTER,)
        for function in STORED_FUNCTIONS if counter else STORED_FUNCTIONS[:5]:
            parts.append(f"{key}_{function}=%s{'i' if function == 'count' else ''}")
    return ",".join(parts)

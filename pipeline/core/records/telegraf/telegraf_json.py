"""Telegraf's JSON, one metric or refusal at a time.

Read are the two shapes that Telegraf's serializer writes, one object ``{"name", "tags", "fields", "timestamp"}`` and
the batch ``{"metrics": [...]}``, an array of either, and several such documents one after the other (NDJSON or simply
concatenated).
"""

import json
import re
from collections.abc import Generator, Iterator
from typing import Any, Final

from pipeline.core.records.telegraf.json_spans import (
    MAX_DEPTH,
    JsonSpan,
    JsonSpanError,
    next_byte,
    next_item,
    next_key,
    value_span,
)
from pipeline.core.records.telegraf.parsed import FieldValue, ParsedMetric, Refusal, TimestampUnit, quoted
from pipeline.core.records.telegraf.timestamps import JSON_DEFAULT_UNIT, to_time_ns
from schemas.reasons import DeadLetterReason

__all__ = ["parse_json"]

_BOM: Final = b"\xef\xbb\xbf"
_NEXT_DOCUMENT: Final = re.compile(rb"\n(?=[{\[])")
_LONG_INTEGER: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|(?<![.\d])(-?\d{4301,}+)(?![.\deE])', re.DOTALL)
_NUMBER_START: Final = frozenset("+-.0123456789")
_SCALAR_ENDS: Final = frozenset(' \t\r\n,[]{}":')
_MAX_NUMBER_LOOKBACK: Final = 400

_DECODER: Final = json.JSONDecoder()

_Items = Generator[ParsedMetric | Refusal, None, int]
"""Yields what a part of the text holds and returns the position behind it."""


class _UnusableError(ValueError):
    """A well-formed JSON value that is no metric."""

    def __init__(self, reason: DeadLetterReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def parse_json(data: bytes, *, unit: TimestampUnit = TimestampUnit.AUTO) -> Iterator[ParsedMetric | Refusal]:
    r"""Yield the metrics and refusals of a JSON text, in input order.

    Parameters
    ----------
    data : bytes
        Any number of documents; anything at all may come.
    unit : TimestampUnit
        Unit of the timestamps; ``auto`` goes by magnitude and takes small ones for seconds.

    Yields
    ------
    Metric or Refusal
        A metric that is not usable is refused alone. A document whose brackets do not match is refused from the first
        byte not used yet (its last byte at least), and reading goes on at the next line that starts with ``{`` or
        ``[``. A refusal points at the broken byte, or at the metric's start when the JSON is sound but no metric.

    Notes
    -----
    Integers keep all their digits (up to Python's limit of 4300, else PARSE_NUMBER); ``1e400``, ``Infinity`` and
    ``NaN`` become floats that are not finite. A null field or tag is left out, as Telegraf does. A tag that is a number
    or a boolean becomes its JSON text. Half a surrogate pair becomes U+FFFD, as in Go.
    Reasons: PARSE_NUMBER, NO_FIELDS, TIMESTAMP_RANGE, else PARSE_SYNTAX.

    Examples
    --------
    >>> metric, = parse_json(b'{"name":"cpu","tags":{"host":"a"},"fields":{"value":42},"timestamp":1516241192}')
    >>> metric.measurement, metric.tags, metric.fields, metric.time_ns
    ('cpu', {'host': 'a'}, {'value': 42}, 1516241192000000000)
    """
    position = next_byte(data, len(_BOM) if data.startswith(_BOM) else 0)
    reader = _Reader(data, unit)
    while position < len(data):
        start = position
        try:
            position = yield from reader.document(position)
        except JsonSpanError as error:
            resume = _NEXT_DOCUMENT.search(data, max(error.position - 1, start))
            position = len(data) if resume is None else resume.end()
            unused = JsonSpan(max(start, min(reader.used_until, position - 1)), position, 0)  # never empty
            message = f"JSON: {error}, got {_shown(data, error.position)}"
            yield reader.refusal(unused, error.position, DeadLetterReason.PARSE_SYNTAX, message)
        position = next_byte(data, position)


class _Reader:
    """Walks one text from document to document.

    Attributes
    ----------
    used_until : int
        Position behind the last metric or refusal handed out.
    """

    def __init__(self, data: bytes, unit: TimestampUnit) -> None:
        self._data = data
        self._unit = unit
        self._line = 1
        self._line_start = 0
        self._place_position = 0
        self.used_until = 0

    def document(self, position: int) -> _Items:
        """Yield what the document at `position` holds."""
        first = self._data[position : position + 1]
        if first == b"{":
            return (yield from self._object(position))
        if first == b"[":
            return (yield from self._array(position, may_be_batch=True))
        raise JsonSpanError(position, "expected '{' or '['")

    def refusal(self, span: JsonSpan, position: int, reason: DeadLetterReason, message: str) -> Refusal:
        """Build the refusal of a span for what stands at `position`."""
        self.used_until = span.end
        line, column = self._place(position)
        return Refusal(line, column, reason, message, span.start, span.end)

    def _object(self, start: int) -> _Items:
        """Yield the metrics of a batch, or the one metric."""
        end = start + 1
        position = self._first_item(end, b"}")
        depth = 0
        is_batch = False
        while position is not None:
            key, value_start = next_key(self._data, position)
            if key == b"metrics" and self._data[value_start : value_start + 1] == b"[":
                is_batch = True
                end = yield from self._array(value_start, may_be_batch=False)
            else:
                value = value_span(self._data, value_start)
                depth = max(depth, value.depth)
                end = value.end
            position = next_item(self._data, end, b"}")
        end = next_byte(self._data, end) + 1
        if not is_batch:
            yield self._metric(JsonSpan(start, end, depth + 1))
        return end

    def _array(self, start: int, *, may_be_batch: bool) -> _Items:
        """Yield the metrics of a list, and its batches if it is a document of its own."""
        end = start + 1
        position = self._first_item(end, b"]")
        while position is not None:
            if may_be_batch and self._data[position : position + 1] == b"{":
                end = yield from self._object(position)
            else:
                span = value_span(self._data, position)
                end = span.end
                yield self._metric(span)
            position = next_item(self._data, end, b"]")
        return next_byte(self._data, end) + 1

    def _first_item(self, position: int, closing: bytes) -> int | None:
        """Return the position of the first item behind an opening bracket; None when there is none."""
        position = next_byte(self._data, position)
        return None if self._data[position : position + 1] == closing else position

    def _metric(self, span: JsonSpan) -> ParsedMetric | Refusal:
        """Decode the metric in the span, or say why it cannot be used."""
        if span.depth > MAX_DEPTH:
            message = f"JSON: nested {span.depth} levels deep, allowed are {MAX_DEPTH}"
            return self.refusal(span, span.start, DeadLetterReason.PARSE_SYNTAX, message)
        raw = self._data[span.start : span.end]
        try:
            text = raw.decode()
            document = _DECODER.decode(text)
        except UnicodeDecodeError as error:
            message = f"expected UTF-8, got invalid byte 0x{raw[error.start]:02x}"
            return self.refusal(span, span.start + error.start, DeadLetterReason.PARSE_SYNTAX, message)
        except json.JSONDecodeError as error:
            position = span.start + len(text[: error.pos].encode())
            reason = DeadLetterReason.PARSE_NUMBER if _is_number_error(text, error) else DeadLetterReason.PARSE_SYNTAX
            return self.refusal(span, position, reason, f"JSON: {error.msg}, got {_shown(self._data, position)}")
        except ValueError:  # Python's limit on the digits of an integer
            position = span.start + _long_integer(raw)
            message = f"integer {_shown(self._data, position)} has too many digits, allowed are 4300"
            return self.refusal(span, position, DeadLetterReason.PARSE_NUMBER, message)
        try:
            measurement, tags, fields, time_ns = _contents(document, self._unit, has_escapes="\\u" in text)
        except _UnusableError as error:
            return self.refusal(span, span.start, error.reason, f"JSON: {error}")
        self.used_until = span.end
        line, _ = self._place(span.start)
        return ParsedMetric(line, measurement, tags, fields, time_ns, span.start, span.end)

    def _place(self, position: int) -> tuple[int, int]:
        """Return line and column of a position, counted from the last one asked for."""
        if position >= self._place_position:
            self._line += self._data.count(b"\n", self._place_position, position)
            self._line_start = max(self._line_start, self._data.rfind(b"\n", self._place_position, position) + 1)
        elif position < self._line_start:
            self._line -= self._data.count(b"\n", position, self._place_position)
            self._line_start = self._data.rfind(b"\n", 0, position) + 1
        self._place_position = position
        return self._line, position - self._line_start + 1


def _contents(
    document: Any, unit: TimestampUnit, *, has_escapes: bool
) -> tuple[str, dict[str, str], dict[str, FieldValue], int | None]:
    """Return measurement, tags, fields and time of a decoded metric."""
    if not isinstance(document, dict):
        raise _UnusableError(DeadLetterReason.PARSE_SYNTAX, f"a metric must be an object, got {_type_name(document)}")
    name = document.get("name")
    if not isinstance(name, str) or not name:
        raise _UnusableError(
            DeadLetterReason.PARSE_SYNTAX, f"'name' must be a string that is not empty, got {_type_name(name)}"
        )
    tags = {}
    for key, value in _members(document, "tags"):
        tags[_well_formed(key) if has_escapes else key] = _tag_text(key, value)
    fields = {}
    for key, value in _members(document, "fields"):
        if not isinstance(value, int | float | str):
            message = f"field {quoted(key)} must be a number, a string or a boolean, got {_type_name(value)}"
            raise _UnusableError(DeadLetterReason.PARSE_SYNTAX, message)
        if has_escapes:
            fields[_well_formed(key)] = _well_formed(value) if isinstance(value, str) else value
        else:
            fields[key] = value
    if not fields:
        raise _UnusableError(DeadLetterReason.NO_FIELDS, "'fields' has no field with a value")
    if has_escapes:
        name = _well_formed(name)
        tags = {key: _well_formed(value) for key, value in tags.items()}
    return name, tags, fields, _time_ns(document.get("timestamp"), unit)


def _members(document: dict[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    """Yield keys and values of a part of the metric, without the nulls; nothing when the part is missing or null."""
    part = document.get(name)
    if part is None:
        return
    if not isinstance(part, dict):
        raise _UnusableError(DeadLetterReason.PARSE_SYNTAX, f"'{name}' must be an object, got {_type_name(part)}")
    for key, value in part.items():
        if not key:
            raise _UnusableError(DeadLetterReason.PARSE_SYNTAX, f"'{name}' has a key that is empty")
        if value is not None:
            yield key, value


def _tag_text(key: str, value: Any) -> str:
    """Return a tag's value as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return json.dumps(value)
    message = f"tag {quoted(key)} must be a string, a number or a boolean, got {_type_name(value)}"
    raise _UnusableError(DeadLetterReason.PARSE_SYNTAX, message)


def _time_ns(timestamp: Any, unit: TimestampUnit) -> int | None:
    """Return the nanoseconds of a metric's timestamp, None without one."""
    if timestamp is None:
        return None
    if isinstance(timestamp, bool) or not isinstance(timestamp, int | float):
        raise _UnusableError(
            DeadLetterReason.PARSE_SYNTAX, f"'timestamp' must be a number, got {_type_name(timestamp)}"
        )
    time_ns = to_time_ns(timestamp, unit=unit, default_unit=JSON_DEFAULT_UNIT)
    if time_ns is None:
        message = f"timestamp {quoted(str(timestamp))} (unit {unit}) does not fit in signed 64-bit nanoseconds"
        raise _UnusableError(DeadLetterReason.TIMESTAMP_RANGE, message)
    return time_ns


def _well_formed(text: str) -> str:
    """Return the text with U+FFFD for every half of a surrogate pair."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _is_number_error(text: str, error: json.JSONDecodeError) -> bool:
    """Return whether the decoder stopped within what begins like a number, or could not take its first character."""
    start = error.pos
    while start > max(0, error.pos - _MAX_NUMBER_LOOKBACK) and text[start - 1] not in _SCALAR_ENDS:
        start -= 1
    return text[start : start + 1] in _NUMBER_START and (start < error.pos or error.msg == "Expecting value")


def _long_integer(raw: bytes) -> int:
    """Return the position of the first integer that is too long to convert."""
    return next((match.start(1) for match in _LONG_INTEGER.finditer(raw) if match[1]), 0)


def _shown(data: bytes, position: int) -> str:
    """Return what stands at a position, for a message."""
    return quoted(data[position : position + 24]) if position < len(data) else "the end of the input"


def _type_name(value: Any) -> str:
    """Return what a decoded value is called in JSON."""
    if value is None:
        return "null"
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return names[type(value)]

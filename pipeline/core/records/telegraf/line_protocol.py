r"""InfluxDB line protocol in Telegraf's dialect, one metric or refusal at a time.

This is the reference: it follows Telegraf's state machine (``plugins/parsers/influx/machine.go.rl``) to the letter,
with its quirks, and the compiled parser has to agree with it. Where dialects differ, Telegraf's holds:

- a backslash in a quoted string may only stand before ``"`` or ``\``;
- in a tag a run of backslashes escapes what follows it, in a measurement or a field key backslashes pair up first;
- ``\"`` in a tag or field key loses its backslash only if the text also has a comma, a space or an equals sign;
- integers have no leading zeros, floats may; ``42.`` and ``.42`` are floats;
- after an error the parser goes on behind the next line feed.

Four things differ on purpose. A float beyond a double's range (``1e400``) is infinite and counted later as filtered,
where Telegraf refuses the line. Text that is no UTF-8 is refused, where Telegraf hands the bytes on. A measurement cut
off behind a backslash is refused, where Telegraf says nothing. A timestamp of twenty digits is called out of range, not
a matter of syntax.

Every token is matched by one possessive pattern, so the time is linear in the input.
"""

import re
from collections.abc import Iterator
from typing import Final

from pipeline.core.records.telegraf.line_scan import StopError, at_line_end, decoded, end_of, is_space, syntax_error
from pipeline.core.records.telegraf.line_values import TIMESTAMP, field_value, timestamp_ns
from pipeline.core.records.telegraf.parsed import FieldValue, ParsedMetric, Refusal, TimestampUnit
from schemas.reasons import DeadLetterReason

__all__ = ["parse_line_protocol"]

_BETWEEN: Final = re.compile(rb"(?:[\t\v\f ]++|\r?\n|#[^\n]*+\n)*+")
_SPACE: Final = re.compile(rb"[\t\v\f ]*+")
_MEASUREMENT: Final = re.compile(rb"(?:[^\t\n\v\f\r ,\\]++|\\[^\t\n\v\f\r])*+")
_TAG_TEXT: Final = re.compile(rb"(?:[^\t\n\v\f\r ,=\\]++|\\[^\t\n\v\f\r\\]|\\(?=\\))*+")
_FIELD_KEY: Final = re.compile(rb"(?:[^\t\n\v\f\r ,=\\]++|\\[^\t\n\v\f\r])*+")

_TEXT_ESCAPE: Final = re.compile(r'\\([,"\ =])')
_TEXT_ESCAPE_NEEDS: Final = re.compile(r"[ ,=]")
_MEASUREMENT_ESCAPE: Final = re.compile(r"\\([, ])")


def parse_line_protocol(data: bytes, *, unit: TimestampUnit = TimestampUnit.AUTO) -> Iterator[ParsedMetric | Refusal]:
    r"""Yield the metrics and refusals of a line-protocol text, in input order.

    Parameters
    ----------
    data : bytes
        Any number of lines; anything at all may come.
    unit : TimestampUnit
        Unit of the timestamps; ``auto`` goes by magnitude and takes small ones for nanoseconds.

    Yields
    ------
    Metric or Refusal
        A refusal's line and column are where Telegraf's machine stops: the first byte it cannot go on with, or behind
        the value that its handler refuses; for text that is no UTF-8, the bad byte.

    Notes
    -----
    Reasons: PARSE_NUMBER for a malformed number or an integer beyond 64 bits, NO_FIELDS for a missing field set,
    TIMESTAMP_RANGE for a timestamp beyond signed 64-bit nanoseconds, PARSE_SYNTAX for the rest.

    Examples
    --------
    >>> good, bad = parse_line_protocol(b"cpu,host=a value=42i 0\ncpu value=howdy\n")
    >>> good
    ParsedMetric(line=1, measurement='cpu', tags={'host': 'a'}, fields={'value': 42}, time_ns=0, start=0, end=22)
    >>> bad.line, bad.column, bad.reason.value, bad.message
    (2, 11, 'PARSE_SYNTAX', "expected a field value (number, quoted string or boolean), got 'howdy'")
    """
    position = 0
    line = 1
    while True:
        start = end_of(_BETWEEN, data, position)
        if start == len(data) or data[start] == ord("#") or (start == len(data) - 1 and data[start] == ord("\r")):
            return  # the last comment may lack its line feed, and the last line feed its half
        line += data.count(b"\n", position, start)
        try:
            metric = _metric(data, start, line, unit)
        except StopError as stop:
            position = data.find(b"\n", stop.resume)
            position = len(data) if position < 0 else position
            yield Refusal(
                line=line + data.count(b"\n", start, stop.position),
                column=stop.position - data.rfind(b"\n", 0, stop.position),
                reason=stop.reason,
                message=stop.message,
                start=start,
                end=position - 1 if data[position - 1 : position + 1] == b"\r\n" else position,
            )
        else:
            position = metric.end
            yield metric
        line += data.count(b"\n", start, position)


def _metric(data: bytes, start: int, line: int, unit: TimestampUnit) -> ParsedMetric:
    """Parse the metric that starts at `start`, checked up to its line's end."""
    measurement, position = _measurement(data, start)
    tags: dict[str, str] = {}
    while data[position : position + 1] == b",":
        tag_key, tag_value, position = _tag(data, position + 1)
        tags[tag_key] = tag_value
    if at_line_end(data, position):
        raise StopError(position, DeadLetterReason.NO_FIELDS, "expected a space and fields, the line ends here")
    if not is_space(data, position):
        raise syntax_error(data, position, "expected a comma and a tag, or a space and fields")
    position = end_of(_SPACE, data, position)
    if at_line_end(data, position):
        raise StopError(position, DeadLetterReason.NO_FIELDS, "expected fields, the line ends here")
    fields: dict[str, FieldValue] = {}
    while True:
        field_key, position = _field_key(data, position, is_first=not fields)
        fields[field_key], position = field_value(data, position)
        if data[position : position + 1] != b",":
            break
        position += 1
    time_ns, position = _time_and_line_end(data, position, unit)
    return ParsedMetric(line, measurement, tags, fields, time_ns, start, position)


def _measurement(data: bytes, start: int) -> tuple[str, int]:
    """Return the measurement's name and the position behind it."""
    if data[start] == ord("\r"):
        raise syntax_error(data, start + 1, "expected a line feed behind the carriage return")
    end = end_of(_MEASUREMENT, data, start)
    _refuse_lone_backslash(data, end)
    if end == start:
        raise syntax_error(data, start, "expected a measurement name")
    name = decoded(data, start, end)
    return (_MEASUREMENT_ESCAPE.sub(r"\1", name) if "\\" in name else name), end


def _tag(data: bytes, start: int) -> tuple[str, str, int]:
    """Return a tag's key, its value and the position behind them."""
    key_end = end_of(_TAG_TEXT, data, start)
    _refuse_lone_backslash(data, key_end)
    if key_end == start:
        raise syntax_error(data, key_end, "expected a tag key")
    if data[key_end : key_end + 1] != b"=":
        raise syntax_error(data, key_end, "expected '=' and a value behind the tag key")
    end = end_of(_TAG_TEXT, data, key_end + 1)
    _refuse_lone_backslash(data, end)
    if end == key_end + 1:
        raise syntax_error(data, end, "expected a tag value")
    return _text(data, start, key_end), _text(data, key_end + 1, end), end


def _field_key(data: bytes, start: int, *, is_first: bool) -> tuple[str, int]:
    """Return a field's key and the position of its value."""
    end = end_of(_FIELD_KEY, data, start)
    _refuse_lone_backslash(data, end)
    if end == start:
        raise syntax_error(data, end, "expected a field key")
    if data[end : end + 1] == b"=":
        return _text(data, start, end), end + 1
    if is_first and at_line_end(data, end) and end_of(TIMESTAMP, data, start) == end:
        raise StopError(end, DeadLetterReason.NO_FIELDS, "expected fields, got only a timestamp")
    raise syntax_error(data, end, "expected '=' and a value behind the field key")


def _time_and_line_end(data: bytes, start: int, unit: TimestampUnit) -> tuple[int | None, int]:
    """Return the timestamp behind the fields, if there is one, and the position of the line's end."""
    time_ns = None
    position = end_of(_SPACE, data, start)
    end = end_of(TIMESTAMP, data, position)
    if end > position:
        time_ns = timestamp_ns(data, position, end, unit)
        position = end_of(_SPACE, data, end)
    if not at_line_end(data, position):
        expected = "the line's end" if end > start and time_ns is not None else "a timestamp"
        raise syntax_error(data, position, f"expected {expected}")
    if data[position : position + 1] == b"\r" and data[position + 1 : position + 2] not in {b"\n", b""}:
        raise syntax_error(data, position + 1, "expected a line feed behind the carriage return")
    return time_ns, position


def _refuse_lone_backslash(data: bytes, position: int) -> None:
    """Refuse a backslash before the line's end or a white-space control character; the machine stops behind it."""
    if data[position : position + 1] == b"\\":
        raise syntax_error(data, position + 1, "expected a character that a backslash can escape")


def _text(data: bytes, start: int, end: int) -> str:
    """Return a tag's key or value, or a field's key, unescaped."""
    text = decoded(data, start, end)
    return _TEXT_ESCAPE.sub(r"\1", text) if "\\" in text and _TEXT_ESCAPE_NEEDS.search(text) else text

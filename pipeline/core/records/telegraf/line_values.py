"""The values of line protocol: a field's value and the timestamp, checked to the byte that follows them."""

import re
from typing import Final

from pipeline.core.records.telegraf.line_scan import (
    StopError,
    at_line_end,
    decoded,
    end_of,
    is_space,
    syntax_error,
    value_error,
)
from pipeline.core.records.telegraf.parsed import FieldValue, TimestampUnit, quoted
from pipeline.core.records.telegraf.timestamps import INFLUX_DEFAULT_UNIT, INT64_MAX, INT64_MIN, to_time_ns
from schemas.reasons import DeadLetterReason

__all__ = ["TIMESTAMP", "field_value", "timestamp_ns"]

TIMESTAMP: Final = re.compile(rb"-?[0-9]{0,19}+")
_DIGITS: Final = re.compile(rb"[0-9]*+")
_STRING: Final = re.compile(rb'(?:[^\\"]++|\\[\\"])*+')
_STRING_ESCAPE: Final = re.compile(r'\\(["\\])')
_LETTERS: Final = re.compile(rb"[A-Za-z]*+")
# What can still become a number: the quote among the signs of the exponent is Telegraf's.
_NUMBER_START: Final = re.compile(
    rb'-?(?:[0-9]++(?:\.[0-9]*+)?(?:[eE][-+"]?[0-9]*+)?|\.(?:[0-9]++(?:[eE][-+"]?[0-9]*+)?)?)?'
)
_FLOAT: Final = re.compile(rb'-?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][-+"]?[0-9]++)?')
_INTEGER: Final = re.compile(rb"-?(?:0|[1-9][0-9]*+)")
_NUMBER_LIKE: Final = re.compile(rb"[-+.0-9]|(?:nan|inf(?:inity)?)(?![a-z])", re.IGNORECASE)

_BOOLEANS: Final = {
    **dict.fromkeys((b"true", b"TRUE", b"True", b"T", b"t"), True),
    **dict.fromkeys((b"false", b"FALSE", b"False", b"F", b"f"), False),
}
_UINT64_MAX: Final = 2**64 - 1
_MAX_INTEGER_CHARS: Final = 20  # of 2**64 - 1 and of -(2**63); more cannot fit
_MAX_WORD: Final = 6  # one more than "false"
_VALUE_ENDS: Final = frozenset((b",", b" ", b"\t", b"\v", b"\f", b"", b"\n", b"\r"))


def field_value(data: bytes, start: int) -> tuple[FieldValue, int]:
    """Return a field's value and the position behind it, where a comma, a space or the line's end stands."""
    if data[start : start + 1] == b'"':
        return _string(data, start)
    end = end_of(_NUMBER_START, data, start)
    if end > start:
        return _number(data, start, end)
    end = end_of(_LETTERS, data, start)
    word = data[start : min(end, start + _MAX_WORD)]
    if word in _BOOLEANS:
        _expect_value_end(data, start, end)
        return _BOOLEANS[word], end
    reason = DeadLetterReason.PARSE_NUMBER if _NUMBER_LIKE.match(data, start) else DeadLetterReason.PARSE_SYNTAX
    stop = start + max(len(_common_prefix(word, spelling)) for spelling in _BOOLEANS)
    raise value_error(data, start, stop, reason)


def timestamp_ns(data: bytes, start: int, end: int, unit: TimestampUnit) -> int:
    """Return the nanoseconds of the timestamp in the span, which is at most 19 digits long."""
    digits_end = end_of(_DIGITS, data, end)
    if not (at_line_end(data, digits_end) or is_space(data, digits_end)) or data[start:end] == b"-":
        raise value_error(data, start, end, DeadLetterReason.PARSE_NUMBER, expected="an integer timestamp")
    token = data[start : min(digits_end, start + 64)]
    if digits_end > end:
        message = f"timestamp {quoted(token)} has more than the 19 digits that are allowed"
        raise StopError(end, DeadLetterReason.TIMESTAMP_RANGE, message)
    time_ns = to_time_ns(int(token), unit=unit, default_unit=INFLUX_DEFAULT_UNIT)
    if time_ns is None:
        message = f"timestamp {quoted(token)} (unit {unit}) does not fit in signed 64-bit nanoseconds"
        raise StopError(end, DeadLetterReason.TIMESTAMP_RANGE, message)
    return time_ns


def _string(data: bytes, start: int) -> tuple[str, int]:
    """Return a quoted string's text and the position behind its closing quote."""
    end = end_of(_STRING, data, start + 1)
    if end == len(data):
        raise syntax_error(data, end, "expected the closing quote of a string")
    if data[end] == ord("\\"):
        raise syntax_error(data, end + 1, "expected a quote or a backslash behind the backslash in a string")
    _expect_value_end(data, start, end + 1)
    text = decoded(data, start + 1, end, resume=end)
    return (_STRING_ESCAPE.sub(r"\1", text) if "\\" in text else text), end + 1


def _number(data: bytes, start: int, end: int) -> tuple[int | float, int]:
    """Return a number and the position behind it; `end` is where the longest start of a number ends."""
    suffix = data[end : end + 1]
    if suffix in {b"i", b"u"} and _INTEGER.fullmatch(data, start, end) and (suffix == b"i" or data[start] != ord("-")):
        _expect_value_end(data, start, end + 1)
        low, high = (INT64_MIN, INT64_MAX) if suffix == b"i" else (0, _UINT64_MAX)
        value = int(data[start:end]) if end - start <= _MAX_INTEGER_CHARS else None
        if value is None or not low <= value <= high:
            message = f"integer {quoted(data[start : end + 1])} does not fit, allowed are {low} to {high}"
            raise StopError(end + 1, DeadLetterReason.PARSE_NUMBER, message)
        return value, end + 1
    if not _FLOAT.fullmatch(data, start, end) or not _at_value_end(data, end):
        raise value_error(data, start, end, DeadLetterReason.PARSE_NUMBER)
    try:
        return float(data[start:end]), end
    except ValueError:  # Telegraf's grammar lets a quote stand for the exponent's sign
        raise value_error(data, start, end, DeadLetterReason.PARSE_NUMBER) from None


def _at_value_end(data: bytes, position: int) -> bool:
    return data[position : position + 1] in _VALUE_ENDS


def _expect_value_end(data: bytes, start: int, end: int) -> None:
    """Refuse a value that goes on behind its end."""
    if not _at_value_end(data, end):
        reason = DeadLetterReason.PARSE_NUMBER if _NUMBER_LIKE.match(data, start) else DeadLetterReason.PARSE_SYNTAX
        raise value_error(data, start, end, reason)


def _common_prefix(word: bytes, spelling: bytes) -> bytes:
    """Return what a word and a spelling have in common at their start."""
    length = 0
    while length < min(len(word), len(spelling)) and word[length] == spelling[length]:
        length += 1
    return word[:length]

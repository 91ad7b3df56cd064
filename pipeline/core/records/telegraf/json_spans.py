r"""Where the values of a JSON text begin and end, found without recursion and in linear time.

Only the outermost structure is walked here: strings and brackets are matched, what lies between is left to a real
decoder. So one bad metric in a list of many can be cut out, and the nesting is known before a decoder that recurses
sees it.
"""

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["MAX_DEPTH", "JsonSpan", "JsonSpanError", "next_byte", "next_item", "next_key", "value_span"]

MAX_DEPTH: Final = 64
"""Nesting that a metric may have; Telegraf's own output has three levels."""

_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_STRING: Final = re.compile(rb'"(?:[^"\\\x00-\x1f]++|\\[^\x00-\x1f])*+')
_STRUCTURE: Final = re.compile(rb'"(?:[^"\\\x00-\x1f]++|\\[^\x00-\x1f])*+(")?|[\[\]{}]|\n(?=\{)')
_SCALAR: Final = re.compile(rb'[^ \t\r\n,\[\]{}":]++')


class JsonSpanError(ValueError):
    """The text is broken at `position`, and where its value would end cannot be told."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True, slots=True)
class JsonSpan:
    """Bytes ``[start, end)`` that hold one value whose brackets nest `depth` deep (0 for a scalar)."""

    start: int
    end: int
    depth: int


def next_byte(text: bytes, position: int) -> int:
    """Return the position of the next byte that is no white space, or the text's length."""
    match = _SPACE.match(text, position)
    return position if match is None else match.end()


def value_span(text: bytes, position: int) -> JsonSpan:
    """Return the span of the value that starts at `position`.

    Raises
    ------
    JsonSpanError
        No value starts here, or its string or bracket is never closed. A line that starts with ``{`` ends an open
        value: where one document a line is written, one that was cut off must not cost those behind it.

    Examples
    --------
    >>> value_span(b'{"a": ["}"]} ', 0)
    JsonSpan(start=0, end=12, depth=2)
    """
    first = text[position : position + 1]
    if first == b'"':
        return JsonSpan(position, _string_end(text, position), 0)
    if first not in {b"{", b"["}:
        scalar = _SCALAR.match(text, position)
        if scalar is None:
            raise JsonSpanError(position, "expected a value")
        return JsonSpan(position, scalar.end(), 0)
    depth = deepest = 0
    for match in _STRUCTURE.finditer(text, position):
        token = text[match.start()]
        if token == ord('"'):
            if match[1] is None:
                raise JsonSpanError(match.end(), "expected the closing quote of a string")
        elif token == ord("\n"):
            raise JsonSpanError(match.end(), "expected the closing bracket, a document starts on this line")
        elif token in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
            if depth == 0:
                return JsonSpan(position, match.end(), deepest)
    raise JsonSpanError(len(text), "expected the closing bracket, the input ends here")


def next_key(text: bytes, position: int) -> tuple[bytes, int]:
    """Return an object's key at `position`, raw between its quotes, and the position of its value."""
    if text[position : position + 1] != b'"':
        raise JsonSpanError(position, "expected a key in quotes")
    end = _string_end(text, position)
    colon = next_byte(text, end)
    if text[colon : colon + 1] != b":":
        raise JsonSpanError(colon, "expected a colon behind the key")
    return text[position + 1 : end - 1], next_byte(text, colon + 1)


def next_item(text: bytes, position: int, closing: bytes) -> int | None:
    """Return the position of the item behind the one that ended at `position`; None when `closing` stands there."""
    position = next_byte(text, position)
    found = text[position : position + 1]
    if found == closing:
        return None
    if found != b",":
        raise JsonSpanError(position, f"expected a comma or '{closing.decode()}'")
    return next_byte(text, position + 1)


def _string_end(text: bytes, position: int) -> int:
    """Return the position behind the closing quote of the string that starts at `position`."""
    match = _STRING.match(text, position)
    end = position if match is None else match.end()
    if text[end : end + 1] != b'"':
        raise JsonSpanError(end, "expected the closing quote of a string")
    return end + 1

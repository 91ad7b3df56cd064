"""What every part of the line-protocol parser stands on: where it stops, and what stands there."""

import re
from typing import Final

from pipeline.core.records.telegraf.parsed import quoted
from schemas.reasons import DeadLetterReason

__all__ = ["StopError", "at_line_end", "decoded", "end_of", "is_space", "syntax_error", "value_error"]

_TOKEN: Final = re.compile(rb"[^\t\n\v\f\r ,]*+")
_SPACES: Final = frozenset((b" ", b"\t", b"\v", b"\f"))
_LINE_ENDS: Final = frozenset((b"", b"\n", b"\r"))


class StopError(Exception):
    """Where and why the machine stops; `resume` is where the search for the next line starts."""

    def __init__(self, position: int, reason: DeadLetterReason, message: str, *, resume: int | None = None) -> None:
        super().__init__(message)
        self.position = position
        self.reason = reason
        self.message = message
        self.resume = position if resume is None else resume


def end_of(pattern: re.Pattern[bytes], data: bytes, start: int) -> int:
    """Return where the match of a pattern that also matches nothing ends."""
    match = pattern.match(data, start)
    return start if match is None else match.end()


def is_space(data: bytes, position: int) -> bool:
    """Return whether white space that separates the parts of a line stands here."""
    return data[position : position + 1] in _SPACES


def at_line_end(data: bytes, position: int) -> bool:
    """Return whether the line ends here: a line feed, a carriage return or the input's end."""
    return data[position : position + 1] in _LINE_ENDS


def decoded(data: bytes, start: int, end: int, *, resume: int | None = None) -> str:
    """Return the span as text, or refuse it at its first byte that is no UTF-8."""
    try:
        return data[start:end].decode()
    except UnicodeDecodeError as error:
        position = start + error.start
        message = f"expected UTF-8, got invalid byte 0x{data[position]:02x}"
        raise StopError(position, DeadLetterReason.PARSE_SYNTAX, message, resume=resume) from None


def syntax_error(data: bytes, position: int, expected: str) -> StopError:
    """Build the refusal of what stands at `position`."""
    if position >= len(data):
        got = "the end of the input"
    elif data[position] in b"\r\n":
        got = "the end of the line"
    else:
        got = quoted(data[position : position + 1] if data[position] < 0x80 else _token(data, position))
    return StopError(position, DeadLetterReason.PARSE_SYNTAX, f"{expected}, got {got}")


def value_error(
    data: bytes,
    start: int,
    position: int,
    reason: DeadLetterReason,
    *,
    expected: str = "a field value (number, quoted string or boolean)",
) -> StopError:
    """Build the refusal of the value that starts at `start`, stopping at `position`."""
    token = _token(data, start)
    return StopError(position, reason, f"expected {expected}, got {quoted(token) if token else 'nothing'}")


def _token(data: bytes, start: int) -> bytes:
    """Return the start of what stands up to the next comma or white space, for a message."""
    return data[start : min(end_of(_TOKEN, data, start), start + 256)]

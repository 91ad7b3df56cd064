"""What the parsers hand on: a metric, or the refusal of one line or document."""

from dataclasses import dataclass
from enum import StrEnum

from schemas.reasons import DeadLetterReason

__all__ = ["FieldValue", "ParsedMetric", "Refusal", "TimestampUnit", "quoted"]

FieldValue = int | float | bool | str
"""A field's value as it came; unsigned integers are plain ints, floats may be infinite or NaN."""

MAX_QUOTED = 48
"""Characters of bad input that a message repeats."""


class TimestampUnit(StrEnum):
    """The unit of timestamps in the input; ``auto`` decides by magnitude (`timestamps.resolve_unit`)."""

    AUTO = "auto"
    NS = "ns"
    US = "us"
    MS = "ms"
    S = "s"


@dataclass(frozen=True, slots=True)
class ParsedMetric:
    """One metric as it came: nothing mapped, nothing filtered.

    Attributes
    ----------
    line : int
        Physical line (1-based) on which the metric starts.
    measurement : str
        Measurement name, unescaped, never empty.
    tags : dict of str to str
        In input order; of a repeated key the last value.
    fields : dict of str to (int, float, bool or str)
        In input order, at least one; of a repeated key the last value.
    time_ns : int or None
        Nanoseconds since 1970, signed 64-bit; None when the input has no timestamp.
    start, end : int
        Byte span in the input, without the line's end.
    """

    line: int
    measurement: str
    tags: dict[str, str]
    fields: dict[str, FieldValue]
    time_ns: int | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """One line, metric or document that cannot be used, and why.

    Attributes
    ----------
    line, column : int
        Where the parser stopped (1-based, the column in bytes).
    reason : DeadLetterReason
        Reason from the closed set.
    message : str
        What is wrong, what came (shortened), what is allowed.
    start, end : int
        Byte span of what is refused.
    """

    line: int
    column: int
    reason: DeadLetterReason
    message: str
    start: int
    end: int


def quoted(text: bytes | str) -> str:
    r"""Put input in quotes for a message, shortened and with control characters escaped.

    Parameters
    ----------
    text : bytes or str
        What came; bytes that are no UTF-8 are shown as ``\x..``.

    Returns
    -------
    str
        At most `MAX_QUOTED` characters of it (before escaping).

    Examples
    --------
    >>> quoted(b"12\xff")
    "'12\\xff'"
    >>> quoted("x" * 100)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…'"
    """
    head = text[: 4 * MAX_QUOTED]
    shown = head.decode("utf-8", "backslashreplace") if isinstance(head, bytes) else head
    if len(shown) > MAX_QUOTED:
        shown = shown[:MAX_QUOTED] + "…"
    return "'" + "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown) + "'"

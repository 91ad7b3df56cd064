"""A record's bytes of either format to metrics and refusals."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from pipeline.core.records.telegraf.line_protocol import parse_line_protocol
from pipeline.core.records.telegraf.parsed import ParsedMetric, Refusal, TimestampUnit, quoted
from pipeline.core.records.telegraf.telegraf_json import parse_json
from schemas.reasons import DeadLetterReason

__all__ = ["DEFAULT_MAX_BYTES", "InputFormat", "detect_format", "parse_record"]

DEFAULT_MAX_BYTES: Final = 4 * 1024 * 1024
"""Bytes that one record may have; Kafka's own default limit is a quarter of it."""

_BOM: Final = b"\xef\xbb\xbf"
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"  # the one compressed format that starts with a printable character
_SPACE: Final = re.compile(rb"[\t\n\v\f\r ]*+")
_MAX_CHARACTER_BYTES: Final = 4


class InputFormat(StrEnum):
    """Format of the input; ``auto`` decides by the first byte."""

    AUTO = "auto"
    INFLUX = "influx"
    JSON = "json"


def detect_format(data: bytes) -> InputFormat | None:
    r"""Return the format of a record by its first byte that is no white space.

    Parameters
    ----------
    data : bytes
        The record.

    Returns
    -------
    InputFormat or None
        JSON for ``{`` and ``[`` (a byte order mark before them is allowed), INFLUX for every other first character that
        a measurement or a comment can start with, and for nothing but white space. None for what is neither: a control
        character, a byte that starts no UTF-8 character, Zstandard's magic number. That tells gzip, LZ4, Snappy,
        MessagePack and Avro apart, and protocol buffers mostly. Bytes further on are not looked at: one bad line must
        not cost the good ones.

    Examples
    --------
    >>> detect_format(b' {"name"').value, detect_format(b"cpu value=1").value, detect_format(b"\x1f\x8b\x08")
    ('json', 'influx', None)
    """
    match = _SPACE.match(data, len(_BOM) if data.startswith(_BOM) else 0)
    start = 0 if match is None else match.end()
    head = data[start : start + _MAX_CHARACTER_BYTES]
    if not head:
        return InputFormat.INFLUX
    if head[:1] in {b"{", b"["}:
        return InputFormat.JSON
    if head == _ZSTD_MAGIC or head[0] < 0x20 or head[0] == 0x7F:
        return None
    if head[0] >= 0x80 and not _starts_with_character(head):
        return None
    return InputFormat.INFLUX


def parse_record(
    data: bytes,
    *,
    input_format: InputFormat = InputFormat.AUTO,
    influx_unit: TimestampUnit = TimestampUnit.AUTO,
    json_unit: TimestampUnit = TimestampUnit.AUTO,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Iterator[ParsedMetric | Refusal]:
    r"""Yield the metrics and refusals of one record, in input order.

    Parameters
    ----------
    data : bytes
        The record's value; anything at all may come.
    input_format : InputFormat
        ``auto`` asks `detect_format`.
    influx_unit, json_unit : TimestampUnit
        Unit of the timestamps in either format.
    max_bytes : int
        A larger record is refused whole.

    Yields
    ------
    Metric or Refusal
        Nothing for a record of white space and comments. One refusal of the whole record with TOO_LARGE or
        UNKNOWN_FORMAT; for the other reasons see `parse_line_protocol` and `parse_json`.

    Examples
    --------
    >>> [item.reason.value for item in parse_record(b"\x1f\x8b\x08\x00")]
    ['UNKNOWN_FORMAT']
    """
    if len(data) > max_bytes:
        message = f"the record has {len(data)} bytes, allowed are {max_bytes}"
        yield Refusal(1, 1, DeadLetterReason.TOO_LARGE, message, 0, len(data))
        return
    found = detect_format(data) if input_format is InputFormat.AUTO else input_format
    if found is None:
        message = f"expected line protocol or Telegraf JSON, got {quoted(data[:8])}"
        yield Refusal(1, 1, DeadLetterReason.UNKNOWN_FORMAT, message, 0, len(data))
    elif found is InputFormat.JSON:
        yield from parse_json(data, unit=json_unit)
    else:
        yield from parse_line_protocol(data, unit=influx_unit)


def _starts_with_character(head: bytes) -> bool:
    """Return whether a whole UTF-8 character stands at the start of these up to four bytes."""
    for length in range(2, len(head) + 1):
        try:
            head[:length].decode()
        except UnicodeDecodeError:
            continue
        return True
    return False

"""A text of lines as the records an agent would have sent: one metric of line protocol, or one JSON document, each."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from pipeline.core.records.telegraf.line_protocol import parse_line_protocol
from pipeline.core.records.telegraf.parsed import Refusal
from pipeline.core.records.telegraf.record import InputFormat

_BOM: Final = b"\xef\xbb\xbf"
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')
_MAX_PENDING_BYTES: Final = 4 * 1024 * 1024


def text_records(lines: Iterable[bytes], input_format: InputFormat = InputFormat.AUTO) -> Iterator[tuple[int, bytes]]:
    r"""Return the records of a text with the physical line (from 1) that each begins on.

    Parameters
    ----------
    lines
        The lines, each with its newline, as a binary file gives them; read as far as the records asked for need.
    input_format
        ``auto`` decides for each record by its first byte.

    Notes
    -----
    Blank lines and comments are no records. A string with newlines, and a JSON document over several lines, are one
    record; one that never ends is given line by line (or whole, for JSON), for the parser to say what is wrong.

    Examples
    --------
    >>> list(text_records([b'a s="x\n', b'y" 1\n', b"# no record\n", b"b v=2\n"]))
    [(1, b'a s="x\ny" 1\n'), (4, b'b v=2\n')]
    """
    numbered = enumerate(lines, 1)
    for number, line in numbered:
        text = line.removeprefix(_BOM) if number == 1 else line
        start = text.lstrip()[:1]
        if input_format is not InputFormat.INFLUX and start in {b"{", b"["}:
            yield number, _document(text, numbered)
        elif not start or start == b"#":
            continue
        elif text.count(b'"') % 2 == 0:
            yield number, text
        else:
            yield from _with_strings(number, text, numbered)


def _document(text: bytes, numbered: Iterator[tuple[int, bytes]]) -> bytes:
    """Add lines to a JSON document until its brackets match."""
    parts = [text]
    depth = _depth(text)
    while depth > 0:
        _, line = next(numbered, (0, b""))
        if not line:
            break
        parts.append(line)
        depth += _depth(line)
    return b"".join(parts)


def _depth(line: bytes) -> int:
    bare = _STRING.sub(b"", line)
    return bare.count(b"{") + bare.count(b"[") - bare.count(b"}") - bare.count(b"]")


def _with_strings(number: int, text: bytes, numbered: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Add lines to a metric whose string is open at its line's end."""
    parts = [text]
    while _is_open(b"".join(parts)):
        line_number, line = next(numbered, (0, b""))
        if not line or sum(map(len, parts)) > _MAX_PENDING_BYTES:
            # it never ends: its lines are records of their own
            yield from ((number + i, part) for i, part in enumerate(parts))
            if line:
                yield line_number, line
            return
        parts.append(line)
        while line and line.count(b'"') % 2 == 0:  # without a quote of its own it can close nothing
            line_number, line = next(numbered, (0, b""))
            parts.extend([line] if line else [])
    yield number, b"".join(parts)


def _is_open(text: bytes) -> bool:
    """Return whether a line protocol text ends inside its first metric."""
    first = next(parse_line_protocol(text), None)
    if not isinstance(first, Refusal):
        return False
    before = text.split(b"\n")[: first.line - 1]
    return sum(len(line) + 1 for line in before) + first.column > len(text)

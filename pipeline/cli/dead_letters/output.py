"""How ``cinnamon dead-letters`` prints: tables, JSON, and bytes in hexadecimal."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

import typer
from rich.console import Console
from rich.table import Table

from pipeline.cli.dead_letters.rows import DeadLetterRows
from pipeline.runtime.kafka.dead_letter_log import StoredDeadLetter

DUMPED_BYTES: Final = 16
"""Bytes in a line of a hexadecimal dump."""


def print_json(rows: DeadLetterRows) -> None:
    """Print counts and dead letters as one JSON document."""
    counts = [
        {"reason": reason, "stage": stage, "letters": dead_letters}
        for (reason, stage), dead_letters in sorted(rows.counts.items())
    ]
    document = {"counts": counts, "foreign": rows.foreign, "letters": [asdict(row) for row in rows.newest()]}
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_tables(rows: DeadLetterRows) -> None:
    """Print a table of counts and one of dead letters."""
    if rows.foreign:
        typer.echo(f"{rows.foreign} records of the topic are no dead letters.", err=True)
    if not rows.counts:
        typer.echo("No dead letters found.", err=True)
        return
    console = Console(markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else 240)
    counts = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("reason", "stage"):
        counts.add_column(column, no_wrap=True)
    counts.add_column("dead letters", justify="right", no_wrap=True)
    for (reason, stage), dead_letters in sorted(rows.counts.items()):
        counts.add_row(reason, stage, f"{dead_letters:,}")
    console.print(counts)
    newest = rows.newest()
    if not newest:
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("written (UTC)", "record", "at", "reason", "stage"):
        table.add_column(column, no_wrap=True)
    table.add_column("bytes", justify="right", no_wrap=True)
    for column in ("replayed", "message"):
        table.add_column(column, no_wrap=column == "replayed")
    for row in newest:
        replayed = "yes" if row.is_replayed else ""
        at = _position(row.line, row.column)
        size = f"{row.size_bytes:,}"
        table.add_row(_time(row.time_ms), row.place, at, row.reason, row.stage, size, replayed, _printable(row.message))
    console.print()
    console.print(table)


def print_dead_letter(stored: StoredDeadLetter) -> None:
    """Print one dead letter: where, why, and its bytes."""
    dead_letter = stored.dead_letter
    at = _position(dead_letter.line, dead_letter.column)
    where = f" at {at}" if at else ""
    typer.echo(
        f"{dead_letter.key()}{where}: {dead_letter.reason}, stage {dead_letter.stage}, {_time(stored.time_ms)} UTC"
    )
    typer.echo(_printable(dead_letter.message))
    typer.echo(f"{len(dead_letter.value)} bytes:")
    text = _as_text(dead_letter.value)
    if text is not None:
        typer.echo(text)
    else:
        for line in hex_lines(dead_letter.value):
            typer.echo(line)
    typer.echo()


def hex_lines(value: bytes) -> Iterator[str]:
    r"""Yield bytes in hexadecimal, 16 a line, with what of them is ASCII.

    Examples
    --------
    >>> list(hex_lines(b"ab\x00"))
    ['00000000  61 62 00                                         ab.']
    """
    for start in range(0, len(value), DUMPED_BYTES):
        part = value[start : start + DUMPED_BYTES]
        readable = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        yield f"{start:08x}  {part.hex(' '):<47}  {readable}"


def _as_text(value: bytes) -> str | None:
    """Return bytes as text if they are some, without what would steer a terminal."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in "\n\t\r" for c in text) else None


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _position(line: int | None, column: int | None) -> str:
    return "" if line is None else f"{line}:{column or '-'}"


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")

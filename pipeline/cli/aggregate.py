"""``cinnamon aggregate``: the worker's windows, over a file."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

import typer

from pipeline.cli.kernels import ensure_kernels
from pipeline.cli.output import reader_may_leave
from pipeline.cli.times import duration_ms
from pipeline.core.records.telegraf.parsed import TimestampUnit
from pipeline.core.records.telegraf.record import InputFormat

if TYPE_CHECKING:
    from pipeline.core.windows.aggregator import PartitionAggregator
    from pipeline.core.windows.output import WindowOutput

__all__ = ["register"]

_BAD_DATA: Final = 1
_RECORDS_AT_ONCE: Final = 5000
_LONGEST_CYCLE_MS: Final = 86_400_000


def _duration(text: str) -> int:
    if text.strip() in {"0", "0s", "0ms"}:
        return 0
    try:
        return duration_ms(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def aggregate(
    source: Annotated[
        str, typer.Argument(metavar="FILE|-", help="What to read; - is standard input.", show_default=False)
    ],
    every: Annotated[int, typer.Option(parser=_duration, metavar="TIME", help="Size of a window.")] = "60s",  # type: ignore[assignment]
    grace: Annotated[
        int, typer.Option(parser=_duration, metavar="TIME", help="How long a window waits for late samples.")
    ] = "10s",  # type: ignore[assignment]
    allowed_lateness: Annotated[
        int,
        typer.Option(
            "--allowed-lateness",
            "--correction",
            parser=_duration,
            metavar="TIME",
            help="How long a closed window is corrected by late samples.",
        ),
    ] = "60s",  # type: ignore[assignment]
    idle_close: Annotated[
        int | None,
        typer.Option(
            parser=_duration,
            metavar="TIME",
            help="Silence, while others go on, that closes a resource's windows. [default: the grace]",
            show_default=False,
        ),
    ] = None,
    input_format: Annotated[
        InputFormat, typer.Option("--format", help="Line protocol, JSON, or what each record's first byte says.")
    ] = InputFormat.AUTO,
    timestamp_unit: Annotated[
        TimestampUnit, typer.Option("--timestamp-unit", help="Unit of the timestamps; auto goes by magnitude.")
    ] = TimestampUnit.AUTO,
) -> None:
    """Print the records of metrics.agg that a worker would write for a file, one JSON object a line.

    The file is taken for one partition: each metric of line protocol, or JSON document, is a record, and its number
    (from 0) its offset. Windows come as they close, are printed again when a late sample corrects them (a greater
    revision), and what is open at the end is closed.

    Bad lines are reported on standard error, and make the exit status 1 at the end.
    """
    ensure_kernels()
    from pipeline.core.records.identity.interning import WindowRule
    from pipeline.core.records.telegraf.parser import ParseOptions
    from pipeline.core.records.telegraf.text_records import text_records
    from pipeline.core.windows.aggregator import PartitionAggregator
    from pipeline.core.windows.rules import WindowRules
    from schemas.catalogue import load_catalogue

    if not 1 <= every <= _LONGEST_CYCLE_MS:
        raise typer.BadParameter("must be 1ms to 1d", param_hint="--every")
    rules = WindowRules(WindowRule(every, grace, allowed_lateness), grace if idle_close is None else idle_close)
    counters = load_catalogue().counters
    aggregator = PartitionAggregator(
        0,
        rules,
        lambda measurement, name: (measurement, name) in counters,
        ParseOptions(input_format, timestamp_unit, timestamp_unit),
    )
    with _opened(source) as file, reader_may_leave():
        status = _run(aggregator, text_records(file, input_format))
    raise typer.Exit(status)


def register(root: typer.Typer) -> None:
    """Add ``aggregate`` to the program's commands."""
    root.command()(aggregate)


def _run(aggregator: "PartitionAggregator", records: Iterator[tuple[int, bytes]]) -> int:
    from pipeline.core.records.telegraf.parser import batch_of

    status = 0
    offset = 0
    while chunk := list(islice(records, _RECORDS_AT_ONCE)):
        batch = batch_of([value for _, value in chunk], offset)
        output = aggregator.add(batch, 0, len(chunk), time.time_ns() // 1_000_000)
        status |= _print(output, [line for line, _ in chunk], offset)
        offset += len(chunk)
    return status | _print(aggregator.finish(), [], offset)


def _print(output: "WindowOutput", lines: list[int], first_offset: int) -> int:
    """Write the windows, and what was refused with its place in the file; return the exit status."""
    if output.values:
        sys.stdout.buffer.write(b"\n".join(output.values) + b"\n")
    for part in output.refused:
        refusal = part.refusal
        line = lines[part.offset - first_offset] + refusal.line - 1
        typer.echo(f"line {line}, column {refusal.column}: {refusal.reason.value}: {refusal.message}", err=True)
    return _BAD_DATA if output.refused else 0


@contextmanager
def _opened(source: str) -> Iterator[BinaryIO]:
    if source == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(source).open("rb")  # noqa: SIM115 - only the opening is guarded
    except OSError as error:
        raise typer.BadParameter(f"cannot read {source!r}: {error.strerror}", param_hint="FILE") from error
    with file:
        yield file

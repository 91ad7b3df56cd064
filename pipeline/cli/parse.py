"""``cinnamon parse``: what Cinnamon reads in a file of Telegraf's output, one JSON object a metric."""

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from pipeline.cli.output import reader_may_leave
from pipeline.core.records.telegraf.parsed import ParsedMetric, Refusal, TimestampUnit
from pipeline.core.records.telegraf.record import InputFormat, parse_record

__all__ = ["register"]

MAX_INPUT_BYTES: Final = 1024**3
"""Bytes of one input; the whole of it is held in memory."""

_BAD_DATA: Final = 1
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def parse(
    source: Annotated[
        str, typer.Argument(metavar="FILE|-", help="What to read; - is standard input.", show_default=False)
    ],
    input_format: Annotated[
        InputFormat, typer.Option("--format", help="Line protocol, JSON, or what the first byte says.")
    ] = InputFormat.AUTO,
    timestamp_unit: Annotated[
        TimestampUnit, typer.Option("--timestamp-unit", help="Unit of the timestamps; auto goes by magnitude.")
    ] = TimestampUnit.AUTO,
) -> None:
    """Print one JSON object for each metric, in input order.

    A metric: {"line", "measurement", "tags", "fields", "time_ns"}. Integers stay integers of any size, whole floats
    print as 42.0, tags are as they came, time_ns is null without a timestamp. A value that JSON has no number for
    (infinity, NaN, also 1e400) is null.

    Bad input gives {"line", "column", "error", "message"} in its place, and exit status 1 at the end.
    """
    items = parse_record(
        _read(source),
        input_format=input_format,
        influx_unit=timestamp_unit,
        json_unit=timestamp_unit,
        max_bytes=MAX_INPUT_BYTES,
    )
    status = 0
    with reader_may_leave():
        for item in items:
            if isinstance(item, Refusal):
                status = _BAD_DATA
                sys.stdout.buffer.write(_refusal_line(item))
            else:
                sys.stdout.buffer.write(_metric_line(item))
    raise typer.Exit(status)


def register(root: typer.Typer) -> None:
    """Add ``parse`` to the program's commands."""
    root.command()(parse)


def _read(source: str) -> bytes:
    """Return the input, one byte more than allowed at most, so that too much is noticed."""
    try:
        if source == "-":
            return sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
        with Path(source).open("rb") as file:
            return file.read(MAX_INPUT_BYTES + 1)
    except OSError as error:
        raise typer.BadParameter(f"cannot read {source!r}: {error.strerror}", param_hint="FILE") from error


def _metric_line(metric: ParsedMetric) -> bytes:
    """Return a metric as one line of JSON."""
    fields = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in metric.fields.items()
    }
    return _json_line(
        {
            "line": metric.line,
            "measurement": metric.measurement,
            "tags": metric.tags,
            "fields": fields,
            "time_ns": metric.time_ns,
        }
    )


def _refusal_line(refusal: Refusal) -> bytes:
    """Return a refusal as one line of JSON."""
    return _json_line(
        {
            "line": refusal.line,
            "column": refusal.column,
            "error": refusal.reason.value,
            "message": refusal.message,
        }
    )


def _json_line(document: dict[str, object]) -> bytes:
    return _ENCODER.encode(document).encode() + b"\n"

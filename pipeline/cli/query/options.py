"""What the commands of ``cinnamon query`` share: their options, ranges and tags, and how they fail."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from pipeline.cli.times import duration_ms, moment_ms

MeasurementArgument = Annotated[str, typer.Argument(help="The measurement, such as cpu.")]
FieldArgument = Annotated[str, typer.Argument(help="The field, such as usage_active.")]
FunctionOption = Annotated[
    str, typer.Option("--function", "-f", help="min, max, avg, last, count, increase or rate.", show_default=True)
]
SinceOption = Annotated[str, typer.Option("--since", metavar="DURATION", help="How far back from now: 15m, 1h, 7d.")]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="MOMENT", help="Start of the range: ISO 8601 or milliseconds.")
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="MOMENT", help="End of the range, itself not in it; by default now.")
]
TagOption = Annotated[list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="Only series with this tag.")]
EmbeddedOption = Annotated[
    Path | None, typer.Option("--embedded", metavar="PATH", help="An embedded store's file, without any settings.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print a JSON object a line in place of a table.")]


class QuerySpan(NamedTuple):
    """A range, in UTC milliseconds."""

    start_ms: int
    end_ms: int


def span_of(since: str, from_: str | None, to: str | None) -> QuerySpan:
    """Return the range that the options mean; BadParameter if they mean none."""
    now_ms = time.time_ns() // 1_000_000
    try:
        end_ms = now_ms if to is None else moment_ms(to, now_ms=now_ms)
        start_ms = end_ms - duration_ms(since) if from_ is None else moment_ms(from_, now_ms=now_ms)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return QuerySpan(start_ms, end_ms)


def tags_of(pairs: list[str] | None) -> dict[str, str]:
    """Return tags given as KEY=VALUE; BadParameter if one is not."""
    tags = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{pair!r} must be KEY=VALUE", param_hint="--tag")
        tags[key] = value
    return tags


@contextmanager
def explained() -> Iterator[None]:
    """End the program where a store cannot be used or the question is wrong."""
    from pipeline.settings.base import SettingsError
    from pipeline.stores.base import StoreUnavailable

    try:
        yield
    except (StoreUnavailable, SettingsError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error

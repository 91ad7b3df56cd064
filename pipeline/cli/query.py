"""``cinnamon query``: windows read back from a store."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from pipeline.cli.loading import ConfigOption, settings_or_exit
from pipeline.cli.output import reader_may_leave
from pipeline.cli.times import duration_ms, moment_ms

if TYPE_CHECKING:
    from pipeline.stores.base import Point, Store

app = typer.Typer(no_args_is_help=True, help="Ask a store for windows: a range, or the greatest series.")

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
StoreOption = Annotated[
    str | None, typer.Option("--store", metavar="NAME", help="Which of the configured stores, if there are several.")
]
EmbeddedOption = Annotated[
    Path | None, typer.Option("--embedded", metavar="PATH", help="An embedded store's file, without any settings.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print a JSON object a line in place of a table.")]


class _Span(NamedTuple):
    start_ms: int
    end_ms: int


@app.command("range")
def query_range(
    measurement: MeasurementArgument,
    field: FieldArgument,
    *,
    function: FunctionOption = "avg",
    since: SinceOption = "1h",
    from_: FromOption = None,
    to: ToOption = None,
    tag: TagOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many windows.")] = 10_000,
    store: StoreOption = None,
    config: ConfigOption = None,
    embedded: EmbeddedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one function of a field for each window of a range, the oldest first."""
    span, tags = _span(since, from_, to), _tags(tag)
    with _opened(store, config, embedded) as opened:
        points = opened.query_range(measurement, field, function, **span._asdict(), tags=tags, max_points=limit)
    _show(points, f"{measurement}.{field} {function}", as_json=as_json, with_time=True)


@app.command("top")
def query_top(
    measurement: MeasurementArgument,
    field: FieldArgument,
    *,
    n: Annotated[int, typer.Option("-n", min=1, max=10_000, help="At most so many series.")] = 10,
    by: Annotated[
        str | None, typer.Option("--by", metavar="TAG", help="One row for each value of this tag: its greatest series.")
    ] = None,
    function: FunctionOption = "avg",
    since: SinceOption = "1h",
    from_: FromOption = None,
    to: ToOption = None,
    tag: TagOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    embedded: EmbeddedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the series with the greatest value over a whole range, the greatest first."""
    span, tags = _span(since, from_, to), _tags(tag)
    with _opened(store, config, embedded) as opened:
        points = opened.query_top(measurement, field, function, **span._asdict(), n=n, tags=tags, by_tag=by)
    _show(points, f"{measurement}.{field} {function}", as_json=as_json, with_time=False)


def register(root: typer.Typer) -> None:
    """Add ``query`` to the program's commands."""
    root.add_typer(app, name="query")


def _span(since: str, from_: str | None, to: str | None) -> _Span:
    now_ms = time.time_ns() // 1_000_000
    try:
        end_ms = now_ms if to is None else moment_ms(to, now_ms=now_ms)
        start_ms = end_ms - duration_ms(since) if from_ is None else moment_ms(from_, now_ms=now_ms)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return _Span(start_ms, end_ms)


def _tags(pairs: list[str] | None) -> dict[str, str]:
    tags = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{pair!r} must be KEY=VALUE", param_hint="--tag")
        tags[key] = value
    return tags


@contextmanager
def _opened(name: str | None, config: Path | None, embedded: Path | None) -> Iterator["Store"]:
    """Open the store that the options mean; end the program if it cannot be used or the question is wrong."""
    from pipeline.runtime.settings_base import SettingsError
    from pipeline.stores.base import StoreUnavailable

    try:
        store = _open(name, config, embedded)
        try:
            yield store
        finally:
            store.close()
    except (StoreUnavailable, SettingsError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _open(name: str | None, config: Path | None, embedded: Path | None) -> "Store":
    if embedded is not None:
        if name is not None or config is not None:
            raise typer.BadParameter("--embedded needs neither --store nor --config", param_hint="--embedded")
        from pipeline.stores.embedded import EmbeddedStore

        return EmbeddedStore(embedded, read_only=True)
    from pipeline.stores.factory import open_store

    stores = {store.name: store for store in settings_or_exit(config).stores}
    if name is None and len(stores) == 1:
        (name,) = stores
    if name not in stores:
        known = ", ".join(stores) or "none is configured: give --config or --embedded"
        raise typer.BadParameter(f"name one of the configured stores ({known})", param_hint="--store")
    return open_store(stores[name], read_only=True)


def _show(points: list["Point"], title: str, *, as_json: bool, with_time: bool) -> None:
    with reader_may_leave():
        if as_json:
            for point in points:
                time_ms = {"start_ms": point.start_ms} if with_time else {}
                print(json.dumps({**time_ms, "tags": point.tags, "value": point.value}, ensure_ascii=False))  # noqa: T201
            return
        _print_table(points, title, with_time=with_time)


def _print_table(points: list["Point"], title: str, *, with_time: bool) -> None:
    """Print a row a point; tags that all points share stand in the title alone."""
    from rich.console import Console
    from rich.table import Table

    if not points:
        typer.echo("No windows found.", err=True)
        return
    keys = sorted({key for point in points for key in point.tags})
    shared = {key: points[0].tags.get(key) for key in keys if len({point.tags.get(key) for point in points}) == 1}
    if len(points) > 1:
        keys = [key for key in keys if key not in shared]
        title += "".join(f" {key}={value}" for key, value in shared.items())
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in [*(["start (UTC)"] if with_time else []), *keys]:
        table.add_column(column, no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    for point in points:
        moment = datetime.fromtimestamp(point.start_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        tags = [point.tags.get(key, "") for key in keys]
        table.add_row(*([moment] if with_time else []), *tags, f"{point.value:.10g}")
    console = Console(markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else 240)
    console.print(title, style="italic")  # above the table, not in it: a narrow table would break it
    console.print(table)

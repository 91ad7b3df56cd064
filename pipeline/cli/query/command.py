"""``cinnamon query``: windows read back from a store."""

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.loading import ConfigOption, settings_or_exit
from pipeline.cli.output import reader_may_leave
from pipeline.cli.query.options import (
    EmbeddedOption,
    FieldArgument,
    FromOption,
    FunctionOption,
    JsonOption,
    MeasurementArgument,
    SinceOption,
    TagOption,
    ToOption,
    explained,
    span_of,
    tags_of,
)
from pipeline.cli.query.series import query_series

if TYPE_CHECKING:
    from pipeline.stores.base import SeriesPoint, Store

app = typer.Typer(no_args_is_help=True, help="Ask a store for windows, or all stores for series over any range.")
app.command("series")(query_series)

StoreOption = Annotated[
    str | None, typer.Option("--store", metavar="NAME", help="Which of the configured stores, if there are several.")
]


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
    span, tags = span_of(since, from_, to), tags_of(tag)
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
    span, tags = span_of(since, from_, to), tags_of(tag)
    with _opened(store, config, embedded) as opened:
        points = opened.query_top(measurement, field, function, **span._asdict(), n=n, tags=tags, by_tag=by)
    _show(points, f"{measurement}.{field} {function}", as_json=as_json, with_time=False)


def register(root: typer.Typer) -> None:
    """Add ``query`` to the program's commands."""
    root.add_typer(app, name="query")


@contextmanager
def _opened(name: str | None, config: Path | None, embedded: Path | None) -> Iterator["Store"]:
    """Open the store that the options mean; end the program if it cannot be used or the question is wrong."""
    with explained(), closing(_open(name, config, embedded)) as store:
        yield store


def _open(name: str | None, config: Path | None, embedded: Path | None) -> "Store":
    from pipeline.stores.embedded.kind import file_store
    from pipeline.stores.factory import open_store
    from pipeline.stores.settings import regional_stores

    if embedded is not None:
        if name is not None or config is not None:
            raise typer.BadParameter("--embedded needs neither --store nor --config", param_hint="--embedded")
        return open_store(file_store(embedded), read_only=True)
    stores = {store.name: store for store in regional_stores(settings_or_exit(config))}
    if name is None and len(stores) == 1:
        (name,) = stores
    if name not in stores:
        known = ", ".join(stores) or "none is configured: give --config or --embedded"
        raise typer.BadParameter(f"name one of the configured stores ({known})", param_hint="--store")
    return open_store(stores[name], read_only=True)


def _show(points: list["SeriesPoint"], title: str, *, as_json: bool, with_time: bool) -> None:
    with reader_may_leave():
        if as_json:
            for point in points:
                time_ms = {"start_ms": point.start_ms} if with_time else {}
                print(json.dumps({**time_ms, "tags": point.tags, "value": point.value}, ensure_ascii=False))  # noqa: T201
            return
        _print_table(points, title, with_time=with_time)


def _print_table(points: list["SeriesPoint"], title: str, *, with_time: bool) -> None:
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

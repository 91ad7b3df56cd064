"""``cinnamon query series``: a series over any range, from recent windows and compressed history."""

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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

if TYPE_CHECKING:
    from pipeline.stores.reading import Average, SeriesRange, SeriesReader

Row = dict[str, Any]

PointsOption = Annotated[
    int | None,
    typer.Option("--points", min=3, max=100_000, help="Thin each series to so many points: a chart's width in pixels."),
]
SourceOption = Annotated[
    Literal["auto", "regional", "integrated"],
    typer.Option("--source", help="Windows of the regions, the integrated store's history, or both after each other."),
]
HistoryOption = Annotated[
    Path | None, typer.Option("--history", metavar="PATH", help="An embedded store of history, without any settings.")
]
AverageOption = Annotated[bool, typer.Option("--average", help="Show the mean of each series' samples instead.")]


def query_series(
    measurement: MeasurementArgument,
    field: FieldArgument,
    *,
    function: FunctionOption = "avg",
    since: SinceOption = "1h",
    from_: FromOption = None,
    to: ToOption = None,
    tag: TagOption = None,
    points: PointsOption = None,
    source: SourceOption = "auto",
    average: AverageOption = False,
    config: ConfigOption = None,
    embedded: EmbeddedOption = None,
    history: HistoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show series over a range: windows where there are any, compressed history before them, never both at a time.

    A point is reached from the one before along a straight line (l) or by a step at its time (s); nothing is known
    between two points where the second says gap. With --points all are to be joined by straight lines.
    """
    span, tags = span_of(since, from_, to), tags_of(tag)
    with explained():
        from pipeline.stores.reading import ReadFrom

        with closing(_reader(config, embedded, history)) as reader:
            asked = {**span._asdict(), "tags": tags, "source": ReadFrom(source)}
            rows: list[Row]
            if average:
                rows = [_average_row(each) for each in reader.averages(measurement, field, **asked)]
            else:
                found = reader.read(measurement, field, function=function, **asked)
                rows = [row for series in found for row in (_thin_rows(series, points) if points else _rows(series))]
    with reader_may_leave():
        if as_json:
            for row in rows:
                print(json.dumps(row, ensure_ascii=False))  # noqa: T201
        else:
            _print_table(rows, f"{measurement}.{field}{' average' if average else ''}")


def _reader(config: Path | None, embedded: Path | None, history: Path | None) -> "SeriesReader":
    from pipeline.stores.embedded.kind import file_store
    from pipeline.stores.factory import open_history, open_store
    from pipeline.stores.reading import SeriesReader
    from pipeline.stores.settings import StoreSettings, integrated_store, regional_stores

    if embedded is not None or history is not None:
        if config is not None:
            raise typer.BadParameter("--embedded and --history need no --config", param_hint="--config")
        windows = [] if embedded is None else [open_store(file_store(embedded), read_only=True)]
        return SeriesReader(windows, None if history is None else open_history(file_store(history, "integrated")))

    settings = settings_or_exit(config)
    if not settings.listed(StoreSettings):
        raise typer.BadParameter("no store is configured: give --config, --embedded or --history")
    integrated = integrated_store(settings)
    return SeriesReader(
        [open_store(store, read_only=True) for store in regional_stores(settings)],
        None if integrated is None else open_history(integrated),
    )


def _rows(series: "SeriesRange") -> Iterator[Row]:
    """Yield the points as they are stored; where the last value of a run is held, a step to itself says until when."""
    is_first = True
    for source, runs in (("integrated", series.history), ("regional", series.windows)):
        for run in runs:
            begins_run = not is_first and not _joins(series, run.times_ms[0])
            points = list(zip(run.times_ms.tolist(), run.values.tolist(), run.interp.tolist(), strict=True))
            if run.until_ms > run.times_ms[-1]:
                points.append((run.until_ms, points[-1][1], ord("s")))
            for number, (time_ms, value, interp) in enumerate(points):
                row = {"time_ms": time_ms, "tags": series.tags, "value": value, "interp": chr(interp), "source": source}
                yield row | ({"gap": True} if begins_run and number == 0 else {})
            is_first = False


def _joins(series: "SeriesRange", start_ms: int) -> bool:
    """Return whether the run that starts then goes on where another ended."""
    return all(run.times_ms[0] != start_ms for run in series.runs)


def _thin_rows(series: "SeriesRange", points: int) -> Iterator[Row]:
    from pipeline.stores.thinning import thinned

    thin = thinned(series.runs, points)
    for time_ms, value, gap in zip(thin.times_ms.tolist(), thin.values.tolist(), thin.gap.tolist(), strict=True):
        yield {"time_ms": time_ms, "tags": series.tags, "value": value, **({"gap": True} if gap else {})}


def _average_row(average: "Average") -> Row:
    return {"tags": average.tags, "value": average.value, "count": average.count, "exact": average.is_exact}


def _print_table(rows: list[Row], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    if not rows:
        typer.echo("Nothing found.", err=True)
        return
    keys = sorted({key for row in rows for key in row["tags"]})
    columns = [name for name in ("time_ms", "value", "interp", "source", "gap", "count", "exact") if _has(rows, name)]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ["time (UTC)" if columns[0] == "time_ms" else columns[0], *keys, *columns[1:]]:
        table.add_column(column, no_wrap=True)
    for row in rows:
        first, *rest = (_cell(name, row.get(name)) for name in columns)
        table.add_row(first, *[row["tags"].get(key, "") for key in keys], *rest)
    console = Console(markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else 240)
    console.print(title, style="italic")
    console.print(table)


def _has(rows: list[Row], name: str) -> bool:
    return any(name in row for row in rows)


def _cell(name: str, value: Any) -> str:
    if name == "time_ms":
        return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}"
    return "" if value is None else str(value)

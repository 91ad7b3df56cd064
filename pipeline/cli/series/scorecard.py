"""``cinnamon scorecard``: what anomaly detection would have reported on a history, before anyone enables it."""

import csv
from collections import defaultdict
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipeline.cli.kernels import ensure_kernels
from pipeline.cli.output import reader_may_leave
from pipeline.cli.series.detect import zone_of

if TYPE_CHECKING:
    from pipeline.cli.series.files import SeriesRows
    from pipeline.cli.series.image import Panel
    from pipeline.core.anomalies.scorecard import Labelled
    from pipeline.core.anomalies.scorer import Scores
    from schemas.severity import Severity

__all__ = ["register"]

_BAD_DATA: Final = 1
_WIDTH: Final = 100
_LISTED: Final = 10
"""Alerts of a file that are listed, the highest scores first chosen."""

Incidents = dict[str, list[tuple[int, int]]]


def scorecard(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="CSV files, a series each.")],
    time: Annotated[str, typer.Option("--time", metavar="COL", help="The column of times.")] = "timestamp",
    value: Annotated[str, typer.Option("--value", metavar="COL", help="The column of values.")] = "value",
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help="CSV of known incidents: columns file, start, end."),
    ] = None,
    detector: Annotated[str, typer.Option("--detector", metavar="NAME", help="bank, or one of river's.")] = "bank",
    zone: Annotated[
        str, typer.Option("--zone", metavar="ZONE", help="Time zone for hours of the day, and times without offset.")
    ] = "UTC",
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.png", help="Draw the series into an image, not with characters."),
    ] = None,
) -> None:
    """Print how many alerts a day detection would have raised on a history at each sensitivity, and where.

    With labels also how many of the known incidents it would have found, how late, and how many alerts were in none. A
    label's file is the name of one of the files, without its folder.

    An image has a panel for each file: the value, the band where it was expected, what is reported by level, and the
    known incidents shaded.

    A bad file is reported on standard error and makes the exit status 1; the others are scored.
    """
    ensure_kernels()
    from pipeline.cli.series.files import SeriesFileError, read_series
    from pipeline.cli.series.image import check_plot, write_plot
    from pipeline.core.anomalies.detectors import DetectorError, score_series

    place = zone_of(zone)
    check_plot(plot, len(files))
    try:
        incidents = None if labels is None else _read_labels(labels, place)
    except SeriesFileError as error:
        raise typer.BadParameter(str(error), param_hint="--labels") from error
    status = 0
    scored: list[tuple[Path, SeriesRows, Scores]] = []
    for path in files:
        try:
            rows = read_series(path, time, value, place)
            scored.append((path, rows, score_series(detector, rows.time_ms, rows.value, zone=place)))
        except SeriesFileError as error:
            typer.echo(str(error), err=True)
            status = _BAD_DATA
        except DetectorError as error:
            raise typer.BadParameter(str(error), param_hint="--detector") from error
    with reader_may_leave():
        for path, rows, scores in scored:
            _print_file(path, rows, scores, draw=plot is None)
        _print_total(scored, incidents)
    if plot is not None and scored:
        known = incidents or {}
        write_plot(plot, [_panel(*each, known.get(each[0].name, [])) for each in scored], place)
    raise typer.Exit(status)


def register(root: typer.Typer) -> None:
    """Add ``scorecard`` to the program's commands."""
    root.command()(scorecard)


def _read_labels(path: Path, zone: tzinfo) -> Incidents:
    """Return the known incidents by file.

    Raises
    ------
    SeriesFileError
        If the file cannot be read or lacks a column, a time is none, or an incident ends before it starts.
    """
    from pipeline.cli.series.files import SeriesFileError, time_ms

    found: Incidents = defaultdict(list)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for number, row in enumerate(csv.DictReader(file), 2):
                start, end = time_ms(row["start"], zone), time_ms(row["end"], zone)
                if end < start:
                    raise SeriesFileError(f"{path}: row {number}: the end is before the start")
                found[row["file"]].append((start, end))
    except OSError as error:
        raise SeriesFileError(f"{path}: cannot read: {error.strerror}") from error
    except KeyError as error:
        raise SeriesFileError(f"{path}: no column {error}; it needs file, start and end") from error
    except (TypeError, UnicodeDecodeError, csv.Error, OverflowError) as error:
        raise SeriesFileError(f"{path}: not CSV with file, start and end: {error}") from error
    except ValueError as error:
        if isinstance(error, SeriesFileError):
            raise
        raise SeriesFileError(f"{path}: a time must be seconds, milliseconds or ISO 8601: {error}") from error
    return found


def _panel(path: Path, rows: "SeriesRows", scores: "Scores", incidents: list[tuple[int, int]]) -> "Panel":
    """Return a file's drawing."""
    from pipeline.cli.series.image import Band, Line, Marks, Panel
    from pipeline.core.anomalies.scorecard import LEVELS

    marks = []
    for level, colour in zip(LEVELS, ("gold", "darkorange", "red"), strict=True):
        reported = scores.level == level
        marks.append(Marks(level.name.lower(), rows.time_ms[reported], rows.value[reported], colour))
    return Panel(
        title=path.name,
        lines=[Line("value", rows.time_ms, rows.value)],
        band=Band("expected", rows.time_ms, scores.low, scores.high),
        marks=marks,
        spans=incidents,
        spans_name="incident",
    )


def _print_file(path: Path, rows: "SeriesRows", scores: "Scores", *, draw: bool) -> None:
    from pipeline.cli.series.plot import plotted
    from pipeline.core.anomalies.scorecard import alerts_from, days_of
    from pipeline.core.anomalies.scorer import Reason
    from schemas.severity import Severity

    alerts = alerts_from(scores, rows.time_ms, Severity.WARN).rows
    typer.echo(f"{path}: {len(rows.value):,} rows, {days_of(rows.time_ms):.1f} days, {len(alerts)} alerts from warn")
    for line in plotted(rows.value, scores.level >= Severity.WARN, _WIDTH) if draw else []:
        typer.echo(f"  {line}".rstrip())
    highest = sorted(alerts, key=lambda row: -scores.score[row])[:_LISTED]
    for row in sorted(highest):
        level, reason = Severity(scores.level[row]).name.lower(), Reason(scores.reason[row]).text
        at = datetime.fromtimestamp(int(rows.time_ms[row]) / 1000, UTC).isoformat(timespec="seconds")
        low, high = scores.low[row], scores.high[row]
        typer.echo(f"  {at}  {level:8s}  {reason}: {rows.value[row]:g}, expected {low:g} to {high:g}")
    if len(alerts) > len(highest):
        typer.echo(f"  … and {len(alerts) - len(highest)} lower ones")


def _print_total(scored: "list[tuple[Path, SeriesRows, Scores]]", incidents: Incidents | None) -> None:
    """Print a row for each sensitivity over all files."""
    from pipeline.core.anomalies.scorecard import LEVELS, alerts_from, days_of

    days = sum(days_of(rows.time_ms) for _, rows, _ in scored)
    typer.echo(
        "sensitivity    alerts  a series-day" + ("" if incidents is None else "  found      delay  false a series-day")
    )
    for level in LEVELS:
        count = sum(len(alerts_from(scores, rows.time_ms, level).rows) for _, rows, scores in scored)
        line = f"from {level.name.lower():8s}  {count:6d}  {_a_day(count, days):12.3f}"
        if incidents is not None:
            found = [_labelled(path, rows, scores, level, incidents) for path, rows, scores in scored]
            delays = [delay for one in found for delay in one.delays_ms]
            late = f"{median(delays) / 60_000:.0f} min" if delays else "-"
            share = f"{sum(one.found for one in found)}/{sum(one.incidents for one in found)}"
            line += f"  {share:>5s}  {late:>9s}  {_a_day(sum(one.false_alerts for one in found), days):18.3f}"
        typer.echo(line)


def _labelled(path: Path, rows: "SeriesRows", scores: "Scores", level: "Severity", incidents: Incidents) -> "Labelled":
    from pipeline.core.anomalies.scorecard import against_labels, alerts_from

    alerts = alerts_from(scores, rows.time_ms, level).rows
    return against_labels(rows.time_ms[alerts], incidents.get(path.name, []))


def _a_day(count: int, days: float) -> float:
    return count / days if days > 0 else 0.0

"""``cinnamon downsample-report``: what down-sampling would keep of some series, how far off it is, and why so."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from pipeline.cli.kernels import ensure_kernels
from pipeline.cli.output import reader_may_leave
from pipeline.cli.series.detect import zone_of
from pipeline.cli.series.downsample import KindName

if TYPE_CHECKING:
    from pipeline.cli.series.files import SeriesRows
    from pipeline.cli.series.image import Panel
    from pipeline.core.compiled import Array
    from pipeline.core.downsampling.quality import Quality
    from pipeline.core.downsampling.series_downsampler import Chunk, SeriesProfile

__all__ = ["register"]

_BAD_DATA: Final = 1


class ReportedSeries(NamedTuple):
    """What is said of one file."""

    path: Path
    rows: "SeriesRows"
    chunks: "list[Chunk]"
    restored: "Array"
    quality: "Quality"
    profile: "SeriesProfile"

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return sum(chunk.n_raw for chunk in self.chunks)

    @property
    def points(self) -> int:
        """How many points are kept."""
        return sum(chunk.n_kept for chunk in self.chunks)

    @property
    def classes(self) -> "Counter[str]":
        """How many chunks there are of each class and encoder."""
        return Counter(f"{chunk.series_class.name.lower()}, {chunk.encoder.name.lower()}" for chunk in self.chunks)


def downsample_report(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="CSV files, a series each.")],
    time: Annotated[str, typer.Option("--time", metavar="COL", help="The column of times.")] = "timestamp",
    value: Annotated[str, typer.Option("--value", metavar="COL", help="The column of values.")] = "value",
    ratio: Annotated[float, typer.Option("--ratio", help="Points kept a sample, at most, in the long run.")] = 0.1,
    chunk_points: Annotated[
        int, typer.Option("--chunk-points", help="The most samples of a chunk, 8 to 4096; it ends at full hours, too.")
    ] = 360,
    kind: Annotated[KindName, typer.Option("--kind", help="What the series are; auto finds out.")] = KindName.AUTO,
    zone: Annotated[str, typer.Option("--zone", metavar="ZONE", help="Time zone for times without offset.")] = "UTC",
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw samples and what is decoded into an image.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each file.")] = False,
) -> None:
    """Print what would be kept of each series, how far off what is decoded is, and which encoder is chosen, and why.

    Errors are shares of a series' range: the root mean square, and what 99 % of the samples do not exceed. Extremes are
    the greatest and the least 1 % of the samples; kept is one that is decoded within a sample and 2 % of the range.

    A bad file is reported on standard error and makes the exit status 1; the others are reported.
    """
    ensure_kernels()
    from pipeline.cli.series.files import SeriesFileError
    from pipeline.cli.series.image import check_plot, write_plot
    from pipeline.core.downsampling.series_downsampler import MetricKind, checked
    from pipeline.core.downsampling.whole_series import rules_of_file

    place = zone_of(zone)
    check_plot(plot, len(files))
    try:
        rules = checked(rules_of_file(ratio, chunk_points))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    status = 0
    reported = []
    for path in files:
        try:
            reported.append(_reported(path, (time, value), place, rules, MetricKind[kind.name]))
        except SeriesFileError as error:
            typer.echo(str(error), err=True)
            status = _BAD_DATA
    with reader_may_leave():
        for each in reported:
            if as_json:
                typer.echo(json.dumps(_fields(each)))
            else:
                _print_file(each)
        if not as_json and len(reported) > 1:
            _print_total(reported)
    if plot is not None and reported:
        write_plot(plot, [_panel(each) for each in reported], place)
    raise typer.Exit(status)


def register(root: typer.Typer) -> None:
    """Add ``downsample-report`` to the program's commands."""
    root.command("downsample-report")(downsample_report)


def _reported(path: Path, columns: tuple[str, str], zone: Any, rules: Any, kind: Any) -> ReportedSeries:
    from pipeline.cli.series.files import read_series
    from pipeline.core.downsampling.quality import quality
    from pipeline.core.downsampling.whole_series import profile_series, restore

    rows = read_series(path, *columns, zone)
    chunks, profile = profile_series(rows.time_ms, rows.value, rules, kind)
    restored = restore(chunks, rows.time_ms)
    order = rows.time_ms.argsort(kind="stable")
    return ReportedSeries(path, rows, chunks, restored, quality(rows.value[order], restored[order]), profile)


def _why(series_class: str, profile: "SeriesProfile", kind: str) -> str:
    """Return what decided for a class, in the order in which `choose_class` asks."""
    if series_class == "counter":
        if kind == "counter":
            return "it is said to be a counter"
        return f"{profile.rises:.0%} of its changes rise, all values are integers, what falls lands near zero"
    if series_class == "step":
        said = ", and is said to be a state" if kind == "state" else ""
        return f"{profile.changes:.1%} of its samples differ from the one before{said}: every change is kept"
    if series_class == "noisy":
        return f"neighbours correlate by {profile.correlation:.2f}, below 0.3, or few points may be kept"
    if series_class == "spiky":
        return f"{profile.burst:.0%} of its deviation lies in 2 % of its samples"
    return f"neighbours correlate by {profile.correlation:.2f}, {profile.burst:.0%} of its deviation is in spikes"


def _print_file(each: ReportedSeries) -> None:
    from pipeline.core.downsampling.series_downsampler import MetricKind

    share = each.points / each.samples if each.samples else 0.0
    quality = each.quality
    typer.echo(f"{each.path}: {each.samples:,} samples, {each.points:,} points kept ({share:.1%})")
    typer.echo(
        f"  error: root mean square {quality.nrmse:.2%} of the range, 99 % within {quality.p99:.2%};"
        f" extremes kept {quality.extremes:.0%}"
    )
    for name, count in each.classes.most_common():
        kind = next((chunk.kind for chunk in each.chunks), MetricKind.AUTO).name.lower()
        typer.echo(f"  {count:5d} chunks {name}: {_why(name.split(',')[0], each.profile, kind)}")


def _print_total(reported: list[ReportedSeries]) -> None:
    samples, points = sum(each.samples for each in reported), sum(each.points for each in reported)
    mean = [sum(part) / len(reported) for part in zip(*(each.quality for each in reported), strict=True)]
    share = points / samples if samples else 0.0
    typer.echo(
        f"{len(reported)} series: {samples:,} samples, {points:,} points kept ({share:.1%}); on average: root mean"
        f" square {mean[0]:.2%}, 99 % within {mean[1]:.2%}, extremes kept {mean[2]:.0%}"
    )


def _fields(each: ReportedSeries) -> dict[str, Any]:
    return {
        "file": str(each.path),
        "samples": each.samples,
        "points": each.points,
        **each.quality._asdict(),
        "chunks": dict(each.classes),
        "profile": each.profile._asdict(),
    }


def _panel(each: ReportedSeries) -> "Panel":
    """Return a file's drawing: what is decoded over the samples, and the kept points."""
    from pipeline.cli.series.image import Line, Marks, Panel
    from pipeline.core.downsampling.whole_series import kept_points

    order = each.rows.time_ms.argsort(kind="stable")
    times, values, _ = kept_points(each.chunks)
    share = each.points / each.samples if each.samples else 0.0
    return Panel(
        title=f"{each.path.name}: {share:.1%} of {each.samples:,} samples",
        lines=[
            Line("decoded", each.rows.time_ms[order], each.restored[order]),
            Line("samples", each.rows.time_ms[order], each.rows.value[order]),
        ],
        marks=[Marks("kept", times, values, "black")] if len(times) <= 500 else [],
    )

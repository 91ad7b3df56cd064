"""``cinnamon detect``: the anomalies of series in CSV files."""

import csv
import math
import sys
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TextIO
from zoneinfo import ZoneInfo

import typer

from pipeline.cli.kernels import ensure_kernels
from pipeline.cli.output import reader_may_leave

if TYPE_CHECKING:
    from pipeline.cli.series.files import SeriesRows
    from pipeline.core.anomalies.scorer import Scores

__all__ = ["register"]

_BAD_DATA: Final = 1
HEADER: Final = ("timestamp", "value", "score", "alert", "level", "reason", "expected_low", "expected_high")


def zone_of(name: str) -> tzinfo:
    """Return the time zone of a name of the IANA database, for an option.

    Raises
    ------
    typer.BadParameter
        If there is none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise typer.BadParameter(f"must be a time zone such as Asia/Seoul, got {name!r}") from error


def detect(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="CSV files, a series each.")],
    time: Annotated[str, typer.Option("--time", metavar="COL", help="The column of times.")],
    value: Annotated[str, typer.Option("--value", metavar="COL", help="The column of values.")],
    detector: Annotated[str, typer.Option("--detector", metavar="NAME", help="bank, or one of river's.")] = "bank",
    out_dir: Annotated[
        Path | None, typer.Option("--out-dir", metavar="DIR", help="Write DIR/<same name> for each file.")
    ] = None,
    zone: Annotated[
        str, typer.Option("--zone", metavar="ZONE", help="Time zone for hours of the day, and times without offset.")
    ] = "UTC",
) -> None:
    """Score each row of CSV files by the rows before it, and print a row for each.

    Times are seconds, milliseconds or ISO 8601; the files are series of their own. An empty value is no sample. The
    score is 0 where there is nothing to report; alert is 1 from level warn.

    A bad file is reported on standard error and makes the exit status 1; the others are scored.
    """
    ensure_kernels()
    from pipeline.cli.series.files import SeriesFileError, read_series
    from pipeline.core.anomalies.detectors import DetectorError, make_detector, score_series

    place = zone_of(zone)
    try:
        if detector != "bank":
            make_detector(detector)
    except DetectorError as error:
        raise typer.BadParameter(str(error), param_hint="--detector") from error
    _check_names(files, out_dir)
    status = 0
    for path in files:
        try:
            rows = read_series(path, time, value, place)
        except SeriesFileError as error:
            typer.echo(str(error), err=True)
            status = _BAD_DATA
            continue
        _write(path, rows, score_series(detector, rows.time_ms, rows.value, zone=place), out_dir)
    raise typer.Exit(status)


def register(root: typer.Typer) -> None:
    """Add ``detect`` to the program's commands."""
    root.command()(detect)


def _check_names(files: list[Path], out_dir: Path | None) -> None:
    """Refuse what would overwrite a result or an input."""
    if out_dir is None:
        return
    names = [path.name for path in files]
    for path in files:
        if names.count(path.name) > 1:
            raise typer.BadParameter(f"two files are named {path.name!r}, and DIR has room for one", param_hint="FILE")
        if (out_dir / path.name).resolve() == path.resolve():
            raise typer.BadParameter(f"{path} would be overwritten", param_hint="--out-dir")
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"cannot make {str(out_dir)!r}: {error.strerror}", param_hint="--out-dir") from error


def _write(path: Path, rows: "SeriesRows", scores: "Scores", out_dir: Path | None) -> None:
    if out_dir is None:
        with reader_may_leave():
            _print(sys.stdout, rows, scores)
        return
    target = out_dir / path.name
    try:
        with target.open("w", newline="", encoding="utf-8") as file:
            _print(file, rows, scores)
    except OSError as error:
        typer.echo(f"{target}: cannot write: {error.strerror}", err=True)
        raise typer.Exit(_BAD_DATA) from error


def _print(file: TextIO, rows: "SeriesRows", scores: "Scores") -> None:
    from pipeline.core.anomalies.scorer import Reason
    from schemas.severity import Severity

    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADER)
    for i, (time_text, value_text) in enumerate(zip(rows.time_text, rows.value_text, strict=True)):
        level = Severity(scores.level[i])
        writer.writerow(
            (
                time_text,
                value_text,
                float(scores.score[i]),
                int(level >= Severity.WARN),
                level.name.lower(),
                Reason(scores.reason[i]).text,
                _edge(scores.low[i]),
                _edge(scores.high[i]),
            )
        )


def _edge(value: float) -> str:
    return str(float(value)) if math.isfinite(value) else ""

"""``cinnamon downsample``: the kept points of a series in a CSV file, and what is restored from them."""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TextIO

import typer

from pipeline.cli.kernels import ensure_kernels
from pipeline.cli.series.detect import zone_of

if TYPE_CHECKING:
    from pipeline.cli.series.files import SeriesRows
    from pipeline.core.downsampling.series_downsampler import Chunk

__all__ = ["register"]

_BAD_DATA: Final = 1
KEPT_HEADER: Final = ("timestamp", "value", "interp")
RESTORED_HEADER: Final = ("timestamp", "value")


class KindName(StrEnum):
    """What is known of the series."""

    AUTO = "auto"
    GAUGE = "gauge"
    COUNTER = "counter"
    STATE = "state"


def downsample(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="A CSV file whose first line names its columns.")],
    time: Annotated[str, typer.Option("--time", metavar="COL", help="The column of times.")],
    value: Annotated[str, typer.Option("--value", metavar="COL", help="The column of values.")],
    out: Annotated[Path, typer.Option("--out", metavar="KEPT.csv", help="Where the kept points go.")],
    restored: Annotated[
        Path | None,
        typer.Option("--restored", metavar="RESTORED.csv", help="Where the values go that the points give back."),
    ] = None,
    meta: Annotated[
        Path | None, typer.Option("--meta", metavar="META.jsonl", help="Where what is known of each chunk goes.")
    ] = None,
    ratio: Annotated[float, typer.Option("--ratio", help="Points kept a sample, at most, in the long run.")] = 0.1,
    chunk_points: Annotated[
        int, typer.Option("--chunk-points", help="The most samples of a chunk, 8 to 4096; it ends at full hours, too.")
    ] = 360,
    kind: Annotated[KindName, typer.Option("--kind", help="What the series is; auto finds out.")] = KindName.AUTO,
    zone: Annotated[str, typer.Option("--zone", metavar="ZONE", help="Time zone for times without offset.")] = "UTC",
) -> None:
    """Keep about a tenth of the points of a series: its shape, its peaks, its steps, a counter's total.

    KEPT.csv has columns timestamp, value, interp: how a point is reached from the one before, l along a straight line,
    s by a step at its time. RESTORED.csv has a row for each row of the file, in its order. META.jsonl has a line
    for each chunk: how it was encoded, how far off it is, and the exact minimum, maximum and sum of its samples.

    Times are seconds, milliseconds or ISO 8601. An empty value is no sample and is not restored; of rows of one
    millisecond the last counts.
    """
    ensure_kernels()
    from pipeline.cli.series.files import SeriesFileError, read_series
    from pipeline.core.downsampling.chunk import described
    from pipeline.core.downsampling.series_downsampler import MetricKind, checked
    from pipeline.core.downsampling.whole_series import downsample_series, rules_of_file

    place = zone_of(zone)
    _check_targets(file, {"--out": out, "--restored": restored, "--meta": meta})
    try:
        rules = checked(rules_of_file(ratio, chunk_points))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    try:
        rows = read_series(file, time, value, place)
    except SeriesFileError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(_BAD_DATA) from error
    chunks = downsample_series(rows.time_ms, rows.value, rules, MetricKind[kind.name])
    with _written(out) as target:
        _write_kept(target, rows, chunks)
    if restored is not None:
        with _written(restored) as target:
            _write_restored(target, rows, chunks)
    if meta is not None:
        with _written(meta) as target:
            target.writelines(json.dumps(described(chunk)) + "\n" for chunk in chunks)
    samples, points = sum(chunk.n_raw for chunk in chunks), sum(chunk.n_kept for chunk in chunks)
    share = f" ({points / samples:.1%})" if samples else ""
    typer.echo(f"{file}: {samples:,} samples, {len(chunks):,} chunks, {points:,} points kept{share}")


def register(root: typer.Typer) -> None:
    """Add ``downsample`` to the program's commands."""
    root.command()(downsample)


def _check_targets(file: Path, targets: Mapping[str, Path | None]) -> None:
    """Refuse what would overwrite the input or another result."""
    taken = {file.resolve(): "FILE.csv"}
    for option, path in targets.items():
        if path is None:
            continue
        if path.resolve() in taken:
            raise typer.BadParameter(f"{path} would overwrite {taken[path.resolve()]}", param_hint=option)
        taken[path.resolve()] = option


@contextmanager
def _written(path: Path) -> Iterator[TextIO]:
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            yield file
    except OSError as error:
        typer.echo(f"{path}: cannot write: {error.strerror}", err=True)
        raise typer.Exit(_BAD_DATA) from error


def _write_kept(file: TextIO, rows: "SeriesRows", chunks: "Sequence[Chunk]") -> None:
    from pipeline.core.downsampling.whole_series import kept_points

    time_ms, values, interp = kept_points(chunks)
    text_at = {
        at: text
        for at, text, sample in zip(rows.time_ms.tolist(), rows.time_text, rows.value, strict=True)
        if math.isfinite(sample)
    }
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(KEPT_HEADER)
    points = zip(time_ms.tolist(), values.tolist(), interp.tolist(), strict=True)
    writer.writerows((text_at[at], sample, chr(reached)) for at, sample, reached in points)


def _write_restored(file: TextIO, rows: "SeriesRows", chunks: "Sequence[Chunk]") -> None:
    from pipeline.core.downsampling.whole_series import restore

    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(RESTORED_HEADER)
    restored = restore(chunks, rows.time_ms).tolist()
    for text, raw, value in zip(rows.time_text, rows.value.tolist(), restored, strict=True):
        writer.writerow((text, value if math.isfinite(raw) and math.isfinite(value) else ""))

"""Series drawn into a PNG: lines, the band where a value was expected, marks and shaded times."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import typer

if TYPE_CHECKING:
    from datetime import tzinfo

    from matplotlib.axes import Axes

    from pipeline.core.compiled import Array

__all__ = [
    "MOST_PANELS",
    "Band",
    "ImageError",
    "Line",
    "Marks",
    "Panel",
    "check_plot",
    "image_path",
    "write_plot",
    "write_png",
]

MOST_PANELS: Final = 100
"""Of one image: at so many it is 26,000 pixels high, and the format's readers end at twice that."""
_DPI: Final = 100
_WIDTH_IN: Final = 14.0
_PANEL_IN: Final = 2.6
_COLUMNS: Final = 1400
"""Parts of a long series: of each its least and its greatest value are drawn, which looks the same."""
_GREATEST: Final = 1e100
"""Values beyond are drawn here: an axis has no room for them."""
_MARGIN: Final = 0.1


class ImageError(ValueError):
    """An image that cannot be drawn; the message says what would help."""


class Line(NamedTuple):
    """Values over time: ``time_ms`` int64, milliseconds since 1970, ascending; ``value`` float64, NaN for a gap."""

    name: str
    time_ms: "Array"
    value: "Array"


class Band(NamedTuple):
    """A range over time, float64 from ``low`` to ``high``, NaN where it is unknown."""

    name: str
    time_ms: "Array"
    low: "Array"
    high: "Array"


class Marks(NamedTuple):
    """Points in a colour that matplotlib knows by name."""

    name: str
    time_ms: "Array"
    value: "Array"
    colour: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One drawing of an image.

    Parameters
    ----------
    title : str
        Above it.
    lines : sequence of Line
        The first in front.
    band : Band or None
        Behind the lines; the height is that of the lines and marks, whatever the band is.
    marks : sequence of Marks
        In front.
    spans : sequence of (int, int)
        Times to shade, each from its start to its end in milliseconds since 1970.
    spans_name : str
        What they are.
    """

    title: str
    lines: Sequence[Line]
    band: Band | None = None
    marks: Sequence[Marks] = ()
    spans: Sequence[tuple[int, int]] = ()
    spans_name: str = ""


def image_path(path: Path) -> Path:
    """Return ``path`` if an image can be written there, so that a command can refuse before it works.

    Raises
    ------
    ImageError
        If its name does not end in .png, or what draws is not installed.
    """
    if path.suffix.lower() != ".png":
        raise ImageError(f"{path}: an image's name must end in .png")
    if find_spec("matplotlib") is None:
        raise ImageError("images need matplotlib (the extra cinnamon-stream[plot]): pip install 'matplotlib>=3.9,<4'")
    return path


def check_plot(plot: Path | None, series: int) -> None:
    """Refuse, before a command works, an image for its option ``--plot`` that cannot be drawn."""
    if plot is None:
        return
    try:
        image_path(plot)
    except ImageError as error:
        raise typer.BadParameter(str(error), param_hint="--plot") from error
    if series > MOST_PANELS:
        raise typer.BadParameter(f"an image has room for {MOST_PANELS} files, got {series}", param_hint="--plot")


def write_plot(plot: Path, panels: Sequence[Panel], zone: "tzinfo") -> None:
    """Draw a command's image and say so, or end it with status 1 and the reason."""
    try:
        write_png(plot, panels, zone)
    except ImageError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(f"drawn: {plot}", err=True)


def write_png(path: Path, panels: Sequence[Panel], zone: "tzinfo" = UTC) -> None:
    """Draw panels one below the other, each with its own time axis.

    Parameters
    ----------
    path : Path
        Ends in .png; what is there is replaced.
    panels : sequence of Panel
        At most ``MOST_PANELS``.
    zone : datetime.tzinfo
        Of the times at the axes.

    Raises
    ------
    ImageError
        If there are none or too many panels, the file cannot be written, or as :func:`image_path`.
    """
    image_path(path)
    if not 1 <= len(panels) <= MOST_PANELS:
        raise ImageError(f"an image has 1 to {MOST_PANELS} series, got {len(panels)}")
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(_WIDTH_IN, _PANEL_IN * len(panels)), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        for axes, panel in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
            _draw(axes, panel, zone)
        try:
            figure.savefig(path, format="png")
        except OSError as error:
            raise ImageError(f"{path}: cannot write: {error.strerror}") from error


def _draw(axes: "Axes", panel: Panel, zone: "tzinfo") -> None:
    from matplotlib import dates

    axes.set_title(panel.title, loc="left", fontsize=9)
    for place, (start, end) in enumerate(panel.spans):
        axes.axvspan(*_moments([start, end]), color="tab:blue", alpha=0.15, label=panel.spans_name if not place else "")
    if panel.band is not None:
        at, low, high = _outline(panel.band)
        axes.fill_between(_moments(at), low, high, color="tab:green", alpha=0.2, linewidth=0, label=panel.band.name)
    colours = ("tab:blue", "tab:orange", "tab:purple", "tab:brown")
    for place, line in enumerate(panel.lines):
        rows = _extremes(line.value)
        colour = colours[place % len(colours)]
        at, value = _moments(line.time_ms[rows]), _bounded(line.value[rows])
        axes.plot(at, value, color=colour, linewidth=0.7, zorder=3 - 0.1 * place, label=line.name)
    for mark in panel.marks:
        at, value = _moments(mark.time_ms), _bounded(mark.value)
        axes.scatter(at, value, color=mark.colour, s=30, edgecolors="black", linewidths=0.5, zorder=4, label=mark.name)
    _set_height(axes, [*(line.value for line in panel.lines), *(mark.value for mark in panel.marks)])
    untyped: Any = dates
    locator = untyped.AutoDateLocator(tz=zone)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(untyped.ConciseDateFormatter(locator, tz=zone))
    axes.tick_params(labelsize=8)
    axes.margins(x=0.005)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)


def _set_height(axes: "Axes", values: list["Array"]) -> None:
    """Let the axis go a little beyond the least and the greatest value."""
    finite = np.concatenate([value[np.isfinite(value)] for value in map(_bounded, values)])
    if not len(finite):
        return
    least, greatest = float(finite.min()), float(finite.max())
    margin = _MARGIN * (greatest - least) or _MARGIN * abs(least) or 1.0
    axes.set_ylim(least - margin, greatest + margin)


def _extremes(value: "Array") -> "Array":
    """Return the rows to draw: all of a short series; of each part of a long one its least and its greatest.

    Examples
    --------
    >>> rows = _extremes(np.where(np.arange(10**6) == 5000, 9.0, 1.0))
    >>> 5000 in rows, len(rows)
    (True, 1401)
    """
    if len(value) <= 2 * _COLUMNS:
        return np.arange(len(value))
    found: list[int] = []
    for rows in np.array_split(np.arange(len(value)), _COLUMNS):
        known = rows[np.isfinite(value[rows])]
        found += sorted({known[value[known].argmin()], known[value[known].argmax()]}) if len(known) else [rows[0]]
    return np.array(found)


def _outline(band: Band) -> tuple["Array", "Array", "Array"]:
    """Return times, least low and greatest high of the parts of a band; NaN where a part is not known."""
    at, lows, highs = [], [], []
    for rows in np.array_split(np.arange(len(band.low)), max(1, min(len(band.low), _COLUMNS))):
        known = rows[np.isfinite(band.low[rows]) & np.isfinite(band.high[rows])]
        at.append(band.time_ms[rows[0]] if len(rows) else 0)
        lows.append(band.low[known].min() if len(known) else np.nan)
        highs.append(band.high[known].max() if len(known) else np.nan)
    return np.array(at), _bounded(np.array(lows)), _bounded(np.array(highs))


def _bounded(value: "Array") -> "Array":
    return np.where(np.isfinite(value), np.clip(value, -_GREATEST, _GREATEST), np.nan)


def _moments(time_ms: "Array | list[int]") -> "Array":
    return np.asarray(time_ms, np.int64).astype("datetime64[ms]")

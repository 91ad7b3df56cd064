"""Series drawn into a PNG: what is asked for is seen in its pixels."""

from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from matplotlib.image import imread

from pipeline.cli.series import image as series_image
from pipeline.cli.series.image import MOST_PANELS, Band, ImageError, Line, Marks, Panel, write_png
from pipeline.core.compiled import Array

RED = (1.0, 0.0, 0.0)
BLUE = (0.122, 0.467, 0.706)  # of the first line


def times(count: int) -> Array:
    return 1_780_000_000_000 + 60_000 * np.arange(count)


def panel(value: Array, title: str = "a") -> Panel:
    return Panel(title, [Line("value", times(len(value)), value)])


def pixels_of(path: Path, colour: tuple[float, float, float]) -> Array:
    """Where the axes, without the legend to their right, are about of a colour: bool[height, width]."""
    return np.abs(imread(path)[:, :1280, :3] - colour).max(axis=2) < 0.15


def test_a_mark_is_where_its_value_is(tmp_path: Path) -> None:
    for row, name in ((100, "early.png"), (900, "late.png")):
        one = panel(np.zeros(1000))
        marks = Marks("critical", times(1000)[[row]], np.zeros(1), "red")
        write_png(tmp_path / name, [Panel(one.title, one.lines, marks=[marks])])
    plain = tmp_path / "plain.png"
    write_png(plain, [panel(np.zeros(1000))])
    assert not pixels_of(plain, RED).any()
    early, late = (
        pixels_of(tmp_path / name, RED).any(axis=0).nonzero()[0].mean() for name in ("early.png", "late.png")
    )
    assert 900 < late - early < 1100


def test_the_greatest_value_of_a_long_series_is_seen(tmp_path: Path) -> None:
    value = np.zeros(200_001)
    without, with_peak = tmp_path / "without.png", tmp_path / "with.png"
    value[0] = 1.0  # both have the same axis
    write_png(without, [panel(value)])
    value[100_007] = 1.0
    write_png(with_peak, [panel(value)])
    changed = np.abs(imread(with_peak) - imread(without)).max(axis=2) > 0.1
    assert changed.any(axis=1).sum() > 150
    assert changed.any(axis=0).sum() < 8


def test_a_wide_band_does_not_flatten_the_line(tmp_path: Path) -> None:
    value = np.sin(np.arange(500) / 20)
    rows = []
    for width in (1.5, 1000.0):
        path = tmp_path / f"{width}.png"
        band = Band("expected", times(500), np.full(500, -width), np.full(500, width))
        write_png(path, [Panel("a", panel(value).lines, band)])
        rows.append(int(pixels_of(path, BLUE).any(axis=1).sum()))
    assert rows[0] == rows[1] > 150


def test_names_gaps_and_huge_values_are_drawn(tmp_path: Path) -> None:
    names = ["cost $x_ of $y^", "서울", "_hidden"]
    values = [np.full(10, np.nan), np.zeros(0), np.array([1e300, -1e300, np.inf, np.nan]), np.full(5000, np.nan)]
    path = tmp_path / "hostile.png"
    nothing = Band("expected", times(0), np.zeros(0), np.zeros(0))
    panels = [Panel(name, panel(value).lines, nothing, spans=[(0, 10**12)]) for name in names for value in values]
    write_png(path, panels, ZoneInfo("Asia/Seoul"))
    assert imread(path).shape == (260 * len(panels), 1400, 4)


def test_what_cannot_be_drawn_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match=r"a.svg: an image's name must end in .png"):
        write_png(tmp_path / "a.svg", [panel(np.zeros(2))])
    with pytest.raises(ImageError, match=r"an image has 1 to 100 series, got 101"):
        write_png(tmp_path / "a.png", [panel(np.zeros(2))] * (MOST_PANELS + 1))
    with pytest.raises(ImageError, match=r"none/a.png: cannot write: No such file or directory"):
        write_png(tmp_path / "none" / "a.png", [panel(np.zeros(2))])
    monkeypatch.setattr(series_image, "find_spec", lambda _: None)  # as where the extra is not installed
    with pytest.raises(ImageError, match=r"pip install 'matplotlib>=3.9,<4'"):
        write_png(tmp_path / "a.png", [panel(np.zeros(2))])

"""``cinnamon scorecard``: alerts a day at each sensitivity, and with labels what was found."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from typer.testing import CliRunner, Result

from pipeline.cli import app

START_S = 1_780_000_000


def scorecard(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["scorecard", *arguments])


def history(path: Path) -> str:
    load = 20 + np.random.default_rng(0).uniform(-2, 2, 2881)
    load[2000] = 90
    path.write_text("timestamp,value\n" + "".join(f"{START_S + 300 * i},{v}\n" for i, v in enumerate(load)))
    return str(path)


def test_the_alerts_are_counted_drawn_and_listed(tmp_path: Path) -> None:
    result = scorecard(history(tmp_path / "a.csv"))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == f"{tmp_path / 'a.csv'}: 2,881 rows, 10.0 days, 1 alerts from warn"
    assert lines[1].index("█") == lines[2].index("^")
    assert lines[3].startswith("  2026-06-04T19:06:40+00:00  critical  spike: 90, expected ")
    assert lines[-2].split() == ["from", "warn", "1", "0.100"]


def test_labels_tell_what_was_found_and_how_late(tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    at = START_S + 300 * 2000
    labels.write_text(f"file,start,end\na.csv,{at - 1200},{at + 600}\na.csv,{START_S},{START_S + 600}\nb.csv,1,2\n")
    result = scorecard(history(tmp_path / "a.csv"), "--labels", str(labels))
    assert result.stdout.splitlines()[-2].split() == ["from", "warn", "1", "0.100", "1/2", "20", "min", "0.000"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,start\na,1\n", "no column 'end'"),
        ("file,start,end\na,5,1\n", "row 2: the end is before the start"),
        ("file,start,end\na,monday,1\n", "a time must be seconds, milliseconds or ISO 8601"),
        ("file,start,end\na,1\n", "not CSV with file, start and end"),
    ],
)
def test_bad_labels_are_refused(tmp_path: Path, content: str, message: str) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(content)
    result = scorecard(history(tmp_path / "a.csv"), "--labels", str(labels))
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_a_bad_file_is_reported_and_the_others_are_judged(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("timestamp,load\n")
    result = scorecard(str(bad), history(tmp_path / "a.csv"))
    assert result.exit_code == 1
    assert "no column 'value'" in result.stderr
    assert "2,881 rows" in result.stdout


def test_an_image_takes_the_place_of_the_characters(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    result = scorecard(history(tmp_path / "a.csv"), history(tmp_path / "b.csv"), "--plot", str(image))
    assert result.exit_code == 0
    assert "█" not in result.stdout
    assert "critical  spike: 90" in result.stdout
    assert imread(image).shape[0] == 2 * 260


def test_an_image_that_cannot_be_drawn_is_refused_before_the_files_are_read(tmp_path: Path) -> None:
    result = scorecard("none.csv", "--plot", str(tmp_path / "a.jpg"))
    assert result.exit_code == 2
    assert "must end in .png" in " ".join(result.stderr.replace("│", " ").split())
    result = scorecard(history(tmp_path / "a.csv"), "--plot", str(tmp_path / "none" / "a.png"))
    assert result.exit_code == 1
    assert "cannot write: No such file or directory" in result.stderr

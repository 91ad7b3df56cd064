"""``cinnamon detect``: one row out for each row in, whatever form its time has, and each file by itself."""

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from pipeline.cli import app

HEADER = ["timestamp", "value", "score", "alert", "level", "reason", "expected_low", "expected_high"]
START_S = 1_780_000_000
SPIKE_AT = 1500


def detect(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["detect", "--time", "when", "--value", "load", *arguments])


def values(seed: int = 0) -> list[float]:
    load = 20 + np.random.default_rng(seed).normal(0, 1, 2000)
    load[SPIKE_AT] = 60
    return [round(float(value), 3) for value in load]


def written(path: Path, loads: list[float], form: str = "s") -> str:
    lines = ["load,other,when"]
    for i, load in enumerate(loads):
        second = START_S + 300 * i
        forms = {
            "s": str(second),
            "ms": str(1000 * second),
            "iso": datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z"),
            "space": datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        }
        lines.append(f"{load},x,{forms[form]}")
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


@pytest.mark.parametrize("form", ["s", "ms", "iso", "space"])
def test_a_row_comes_out_for_each_row_whatever_form_its_time_has(tmp_path: Path, form: str) -> None:
    result = detect(written(tmp_path / "a.csv", values(), form))
    assert result.exit_code == 0
    header, *rows = rows_of(result.stdout)
    assert header == HEADER
    assert [float(row[1]) for row in rows] == values()
    assert rows[SPIKE_AT][3:6] == ["1", "critical", "spike"]
    assert float(rows[SPIKE_AT][2]) > 2
    assert float(rows[SPIKE_AT][7]) < 60
    assert rows[0][2:] == ["0.0", "0", "normal", "", "", ""]
    plain = rows_of(detect(written(tmp_path / "plain.csv", values())).stdout)
    assert [row[2:] for row in rows] == [row[2:] for row in plain[1:]]


def test_files_are_series_of_their_own(tmp_path: Path) -> None:
    names = [written(tmp_path / f"{seed}.csv", values(seed)) for seed in range(3)]
    assert detect("--out-dir", str(tmp_path / "out"), *names).exit_code == 0
    for seed, name in enumerate(names):
        assert (tmp_path / "out" / f"{seed}.csv").read_text() == detect(name).stdout


def test_an_empty_value_is_no_sample_and_has_its_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"when,load\n{START_S},1\n{START_S + 60},\n\n{START_S + 120},nan\n")
    rows = rows_of(detect(str(path)).stdout)[1:]
    assert [row[1] for row in rows] == ["1", "", "nan"]
    assert [row[2] for row in rows] == ["0.0"] * 3


def test_a_named_detector_judges(tmp_path: Path) -> None:
    result = detect("--detector", "GaussianScorer", written(tmp_path / "a.csv", values()))
    assert result.exit_code == 0
    assert float(rows_of(result.stdout)[1 + SPIKE_AT][2]) > 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no column 'when'; there are none"),
        (b"when,loud\n", "no column 'load'; there are when, loud"),
        (b"when,load\nyesterday,1\n", "row 2: time must be seconds, milliseconds or ISO 8601, got 'yesterday'"),
        (b"when,load\n1780000000,1x\n", "row 2: value must be a number or empty, got '1x'"),
        (b"when,load\n1780000000\n", "row 2: 1 columns, the header has 2"),
        (b"when,load\n1780000000,\xff\n", "not CSV in UTF-8"),
    ],
)
def test_a_bad_file_is_reported_and_the_others_are_judged(tmp_path: Path, content: bytes, message: str) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_bytes(content)
    good = written(tmp_path / "good.csv", values()[:10])
    result = detect("--out-dir", str(tmp_path / "out"), str(bad), good)
    assert result.exit_code == 1
    assert f"{bad}: {message}" in result.stderr
    assert len(rows_of((tmp_path / "out" / "good.csv").read_text())) == 11
    assert not (tmp_path / "out" / "bad.csv").exists()


def test_bad_use_is_refused(tmp_path: Path) -> None:
    name = written(tmp_path / "a.csv", values()[:10])
    assert detect("--detector", "Oracle", name).exit_code == 2
    assert detect("--zone", "Mars/Olympus", name).exit_code == 2
    assert detect("--out-dir", str(tmp_path), name).exit_code == 2
    assert detect("--out-dir", str(tmp_path / "out"), name, name).exit_code == 2
    assert detect(str(tmp_path / "none.csv")).exit_code == 1

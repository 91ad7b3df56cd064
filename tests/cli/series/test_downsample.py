"""``cinnamon downsample``: kept points with the file's own timestamps, and a restored row for each row of the file."""

import csv
import json
import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from pipeline.cli import app

START_S = 1_780_000_000
FORMS = {
    "s": str,
    "ms": lambda second: str(1000 * second),
    "iso": lambda second: datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z"),
    "space": lambda second: datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S"),
}


def downsample(folder: Path, *arguments: str) -> Result:
    paths = ["--out", "kept.csv", "--restored", "restored.csv", "--meta", "meta.jsonl"]
    paths = [name if name.startswith("--") else str(folder / name) for name in paths]
    return CliRunner().invoke(app, ["downsample", "--time", "when", "--value", "load", *paths, *arguments])


def wave(count: int = 2000) -> list[float]:
    noise = np.random.default_rng(0).normal(0, 1, count)
    return [round(float(value), 2) for value in 50 + 30 * np.sin(np.arange(count) / 90) + noise]


def written(path: Path, loads: list[float], form: str = "s", step_s: int = 10) -> list[str]:
    times = [FORMS[form](START_S + step_s * i) for i in range(len(loads))]
    path.write_text(
        "load,other,when\n" + "".join(f"{load},x,{time}\n" for load, time in zip(loads, times, strict=True))
    )
    return times


def rows_of(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text().splitlines()))


@pytest.mark.parametrize("form", sorted(FORMS))
def test_points_have_the_files_timestamps_and_every_row_is_restored(tmp_path: Path, form: str) -> None:
    loads = wave()
    times = written(tmp_path / "a.csv", loads, form)

    result = downsample(tmp_path, str(tmp_path / "a.csv"))

    assert (result.exit_code, result.stderr) == (0, "")
    header, *kept = rows_of(tmp_path / "kept.csv")
    assert header == ["timestamp", "value", "interp"]
    assert 60 < len(kept) <= 200
    places = [times.index(row[0]) for row in kept]
    assert places == sorted(set(places))
    assert {row[2] for row in kept} == {"l", "s"}
    assert [float(row[1]) for row in kept] == [loads[place] for place in places]
    header, *restored = rows_of(tmp_path / "restored.csv")
    assert (header, [row[0] for row in restored]) == (["timestamp", "value"], times)
    error = np.array([float(row[1]) for row in restored]) - loads
    assert float(np.sqrt(np.mean(error**2))) < 0.02 * (max(loads) - min(loads))
    chunks = [json.loads(line) for line in (tmp_path / "meta.jsonl").read_text().splitlines()]
    assert sum(chunk["n_raw"] for chunk in chunks) == 2000
    assert sum(chunk["n_kept"] for chunk in chunks) == len(kept)
    assert (min(chunk["min"] for chunk in chunks), max(chunk["max"] for chunk in chunks)) == (min(loads), max(loads))
    assert max(chunk["max_error"] for chunk in chunks) == pytest.approx(np.abs(error).max())


def test_rows_may_be_out_of_order_empty_or_doubled(tmp_path: Path) -> None:
    lines = [f"{START_S + 10},2", f"{START_S},1", f"{START_S + 20},", f"{START_S + 30},inf", f"{START_S + 10},3"]
    (tmp_path / "a.csv").write_text("when,load\n" + "\n".join(lines) + "\n")

    assert downsample(tmp_path, "--ratio", "1", str(tmp_path / "a.csv")).exit_code == 0

    assert [row[1] for row in rows_of(tmp_path / "kept.csv")[1:]] == ["1.0", "3.0"]
    assert [row[1] for row in rows_of(tmp_path / "restored.csv")[1:]] == ["3.0", "1.0", "", "", "3.0"]


def test_a_file_without_samples_gives_no_points(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"when,load\n{START_S},\n")

    assert downsample(tmp_path, str(tmp_path / "a.csv")).exit_code == 0

    assert rows_of(tmp_path / "kept.csv") == [["timestamp", "value", "interp"]]
    assert rows_of(tmp_path / "restored.csv")[1:] == [[str(START_S), ""]]
    assert (tmp_path / "meta.jsonl").read_text() == ""


def test_ratio_chunk_points_and_kind_are_followed(tmp_path: Path) -> None:
    loads = [float(value) for value in np.cumsum(np.random.default_rng(1).poisson(9, 2000))]
    written(tmp_path / "a.csv", loads)

    options = ("--ratio", "0.05", "--chunk-points", "120", "--kind", "counter")
    assert downsample(tmp_path, *options, str(tmp_path / "a.csv")).exit_code == 0

    chunks = [json.loads(line) for line in (tmp_path / "meta.jsonl").read_text().splitlines()]
    assert max(chunk["n_raw"] for chunk in chunks) == 120
    assert sum(chunk["n_kept"] for chunk in chunks) <= 100
    assert {chunk["encoder"] for chunk in chunks} == {"increases"}
    assert {chunk["kind"] for chunk in chunks} == {"counter"}
    restored = [float(row[1]) for row in rows_of(tmp_path / "restored.csv")[1:]]
    assert restored == sorted(restored)
    assert math.isclose(restored[-1] - restored[0], loads[-1] - loads[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no column 'when'; there are none"),
        (b"when,load\nyesterday,1\n", "row 2: time must be seconds, milliseconds or ISO 8601, got 'yesterday'"),
        (b"when,load\n1780000000,1x\n", "row 2: value must be a number or empty, got '1x'"),
    ],
)
def test_a_bad_file_is_reported(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)

    result = downsample(tmp_path, str(tmp_path / "a.csv"))

    assert (result.exit_code, result.stderr) == (1, f"{tmp_path / 'a.csv'}: {message}\n")
    assert not (tmp_path / "kept.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ratio", "0"], "ratio must be above 0 and at most 1, got 0.0"),
        (["--ratio", "nan"], "ratio must be above 0 and at most 1, got nan"),
        (["--chunk-points", "7"], "chunk_points must be 8 to 4096, got 7"),
        (["--kind", "text"], "'text' is not one of"),
        (["--zone", "Mars/Olympus"], "must be a time zone"),
        (["--meta", "kept.csv"], "would overwrite --out"),
        (["--restored", "a.csv"], "would overwrite FILE.csv"),
    ],
)
def test_bad_use_is_refused(tmp_path: Path, arguments: list[str], message: str) -> None:
    written(tmp_path / "a.csv", wave(10))
    arguments = [str(tmp_path / name) if name.endswith(".csv") else name for name in arguments]

    result = downsample(tmp_path, *arguments, str(tmp_path / "a.csv"))

    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())

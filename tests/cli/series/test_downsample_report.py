"""What the report says of a series is what `cinnamon downsample` would do with it."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.core.compiled import Array
from pipeline.core.downsampling.quality import quality
from pipeline.core.downsampling.series_downsampler import SeriesProfile


def series_file(path: Path, times: Array, values: Array) -> Path:
    lines = (f"{at},{value}\n" for at, value in zip(times.tolist(), values.tolist(), strict=True))
    path.write_text("timestamp,value\n" + "".join(lines))
    return path


@pytest.fixture
def waves(tmp_path: Path) -> Path:
    times = 1_700_000_000 + 10 * np.arange(2000)
    values = np.round(50 + 20 * np.sin(np.arange(2000) / 80) + np.random.default_rng(3).normal(size=2000), 2)
    return series_file(tmp_path / "waves.csv", times, values)


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    return series_file(tmp_path / "steps.csv", 1_700_000_000 + 10 * np.arange(1000), np.repeat([1.0, 5.0], 500))


def test_the_figures_are_those_of_what_the_command_restores(waves: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    reported = runner.invoke(app, ["downsample-report", "--json", str(waves)])
    assert reported.exit_code == 0, reported.output
    found = json.loads(reported.output)
    restored = tmp_path / "restored.csv"
    options = ["--time", "timestamp", "--value", "value", "--out", str(tmp_path / "kept.csv")]
    assert runner.invoke(app, ["downsample", *options, "--restored", str(restored), str(waves)]).exit_code == 0
    raw, again = (np.genfromtxt(path, delimiter=",", skip_header=1)[:, 1] for path in (waves, restored))
    assert (found["nrmse"], found["p99"], found["extremes"]) == tuple(quality(raw, again))
    assert found["points"] == len((tmp_path / "kept.csv").read_text().splitlines()) - 1 <= 0.101 * found["samples"]
    assert set(found["profile"]) == set(SeriesProfile._fields)


def test_it_says_why_an_encoder_was_chosen_and_sums_up_all_files(waves: Path, steps: Path) -> None:
    result = CliRunner().invoke(app, ["downsample-report", str(waves), str(steps)])
    assert result.exit_code == 0, result.output
    assert "chunks smooth, lines: neighbours correlate by 0.9" in result.output
    assert "chunks step, held: 0.1% of its samples differ" in result.output
    assert "2 series: 3,000 samples" in result.output


def test_an_image_shows_samples_and_what_is_decoded(waves: Path, tmp_path: Path) -> None:
    plot = tmp_path / "report.png"
    result = CliRunner().invoke(app, ["downsample-report", "--plot", str(plot), str(waves)])
    assert result.exit_code == 0, result.output
    assert plot.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_bad_file_is_named_and_the_others_are_reported(steps: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("timestamp,value\n1,x\n")
    result = CliRunner().invoke(app, ["downsample-report", str(bad), str(steps)])
    assert result.exit_code == 1
    assert "bad.csv: row 2: value must be a number or empty" in result.output
    assert "1,000 samples" in result.output

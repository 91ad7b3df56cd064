"""``cinnamon query series``: points with how they are reached, thinned curves, averages; from files or settings."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from pipeline.cli import app
from pipeline.stores.embedded.history import EmbeddedChunks
from pipeline.stores.embedded.windows import EmbeddedStore
from tests.support.stores.chunks import HOUR_MS, START_MS, chunk
from tests.support.stores.windows import MINUTE_MS, functions, window

SPAN = ["--from", str(START_MS), "--to", str(START_MS + 4 * HOUR_MS)]


@pytest.fixture
def files(tmp_path: Path) -> list[str | Path]:
    """Two hours of history with a gap, then five windows."""
    history, windows = EmbeddedChunks(tmp_path / "history.db"), EmbeddedStore(tmp_path / "windows.db")
    history.write(
        [
            chunk([(0, 1.0, "l"), (60_000, 2.0, "s")], last_ms=START_MS + 120_000, sum=360.0),
            chunk([(0, 3.0, "l")], start_ms=START_MS + HOUR_MS, gap=True, last_ms=START_MS + 2 * HOUR_MS - 1),
            chunk([(0, 9.0, "l")], start_ms=START_MS + 2 * HOUR_MS),
        ]
    )
    windows.write(
        [window({"usage": functions(5.0 + n)}, start_ms=START_MS + 2 * HOUR_MS + n * MINUTE_MS) for n in range(5)]
    )
    history.close()
    windows.close()
    return ["--embedded", tmp_path / "windows.db", "--history", tmp_path / "history.db"]


def query(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["query", "series", "cpu", "usage", *map(str, arguments)])


def rows(*arguments: str | Path) -> list[dict[str, Any]]:
    result = query(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def minutes(found: list[dict[str, Any]]) -> list[float]:
    return [(row["time_ms"] - START_MS) / MINUTE_MS for row in found]


def test_history_ends_where_the_windows_begin(files: list[str | Path]) -> None:
    found = rows(*files, *SPAN)
    assert minutes(found)[:4] == [0, 1, 2, 60]
    assert minutes(found)[5:] == [120, 121, 122, 123, 124]
    assert [row["source"] for row in found] == ["integrated"] * 5 + ["regional"] * 5
    assert [round(row["value"], 3) for row in found] == [1, 2, 2, 3, 9, 5, 6, 7, 8, 9]
    assert "".join(row["interp"] for row in found) == "lsslllllll"
    assert [minute for minute, row in zip(minutes(found), found, strict=True) if row.get("gap")] == [60]
    assert found[0]["tags"] == {"host": "a"}


def test_one_source_may_be_asked_for(files: list[str | Path]) -> None:
    assert minutes(rows(*files, *SPAN, "--source", "regional")) == [120, 121, 122, 123, 124]
    assert [row["value"] for row in rows(*files, *SPAN, "--source", "integrated")] == [1, 2, 2, 3, 9]


def test_a_curve_is_thinned_to_so_many_points(files: list[str | Path]) -> None:
    found = rows(*files, *SPAN, "--points", "6")
    assert len(found) == 6
    assert {1.0, 9.0} <= {row["value"] for row in found}
    assert "interp" not in found[0]


def test_an_average_is_from_sums_and_counts(files: list[str | Path]) -> None:
    (average,) = rows(*files, "--from", str(START_MS), "--to", str(START_MS + HOUR_MS), "--average")
    assert average == {"tags": {"host": "a"}, "value": 1.0, "count": 360, "exact": True}


def test_the_stores_of_the_settings_are_read(files: list[str | Path], tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    stores = [
        {"name": "here", "kind": "embedded", "path": str(files[1])},
        {"name": "all", "kind": "embedded", "path": str(files[3]), "role": "integrated"},
    ]
    config.write_text(yaml.safe_dump({"stores": stores}))
    assert rows("--config", config, *SPAN) == rows(*files, *SPAN)


def test_a_table_has_a_row_a_point(files: list[str | Path]) -> None:
    lines = [line.split() for line in query(*files, *SPAN).stdout.splitlines()]
    assert lines[1] == ["time", "(UTC)", "host", "value", "interp", "source", "gap"]
    assert lines[5] == ["2026-05-28", "22:00:00.000", "a", "3", "l", "integrated", "yes"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--points", "2"], "--points"),
        (["--source", "integrated"], "there is no integrated store to read from"),
        (["--function", "median"], "unknown function 'median'"),
        (["--from", "5", "--to", "5"], "the range is empty"),
    ],
)
def test_a_wrong_question_is_bad_use(arguments: list[str], message: str, files: list[str | Path]) -> None:
    result = query(*files[:2], *SPAN, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_without_any_store_there_is_nothing_to_ask() -> None:
    result = query()
    assert result.exit_code == 2
    assert "no store is configured" in result.stderr

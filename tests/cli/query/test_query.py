"""``cinnamon query``: tables for people, JSON lines for programs, clear words for mistakes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.cli import app
from pipeline.stores.embedded.windows import EmbeddedStore
from tests.support.stores.windows import BASE_MS, MINUTE_MS, functions, window

SPAN = ["--from", str(BASE_MS), "--to", str(BASE_MS + 60 * MINUTE_MS)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with three minutes of two hosts: a with 0, 1, 2 and b with 10, 11, 12."""
    path = tmp_path / "windows.db"
    store = EmbeddedStore(path)
    store.write(
        [
            window(
                {"usage": functions(10.0 * offset + n)},
                tags={"host": host, "csp": "aws"},
                start_ms=BASE_MS + n * MINUTE_MS,
            )
            for offset, host in enumerate("ab")
            for n in range(3)
        ]
    )
    store.close()
    return path


def query(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["query", *map(str, arguments)])


def rows(*arguments: str | Path) -> list[dict[str, object]]:
    result = query(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_range_is_a_json_object_a_window(path: Path) -> None:
    found = rows("range", "cpu", "usage", "--tag", "host=b", "--embedded", path, *SPAN)
    assert found == [
        {"start_ms": BASE_MS + n * MINUTE_MS, "tags": {"csp": "aws", "host": "b"}, "value": 10.0 + n} for n in range(3)
    ]


def test_a_top_is_a_json_object_a_series(path: Path) -> None:
    found = rows("top", "cpu", "usage", "-n", "1", "--function", "max", "--embedded", path, *SPAN)
    assert found == [{"tags": {"csp": "aws", "host": "b"}, "value": 13.0}]


def test_a_top_by_a_tag_has_a_row_for_each_value(path: Path) -> None:
    assert rows("top", "cpu", "usage", "--by", "csp", "--embedded", path, *SPAN) == [
        {"tags": {"csp": "aws"}, "value": 11.0}
    ]


def test_a_moment_may_be_a_date_and_a_limit_takes_the_oldest(path: Path) -> None:
    span = ["--from", "2026-05-28T20:27:00Z", "--to", "2026-05-28T23:27:00+02:00"]
    assert [row["value"] for row in rows("range", "cpu", "usage", "--limit", "2", "--embedded", path, *span)] == [0, 10]


def test_a_table_names_what_all_series_share_once(path: Path) -> None:
    result = query("range", "cpu", "usage", "--embedded", path, *SPAN)
    assert result.exit_code == 0
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert lines[0] == "cpu.usage avg csp=aws"
    assert lines[1].split() == ["start", "(UTC)", "host", "value"]
    assert lines[2].split() == ["2026-05-28", "20:27:00", "a", "0"]
    assert len(lines) == 8


def test_nothing_found_is_said_and_no_error(path: Path) -> None:
    result = query("top", "cpu", "nothing", "--embedded", path)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No windows found." in result.stderr


def test_a_store_is_taken_from_the_settings(path: Path, tmp_path: Path) -> None:
    config = tmp_path / "cinnamon.yaml"
    config.write_text(
        f"stores:\n  - {{name: one, kind: embedded, path: {path}}}\n"
        f"  - {{name: two, kind: embedded, path: {tmp_path / 'none.db'}}}\n"
    )
    assert len(rows("range", "cpu", "usage", "--store", "one", "--config", config, *SPAN)) == 6
    missing = query("range", "cpu", "usage", "--store", "two", "--config", config)
    assert missing.exit_code == 1
    assert "none.db: unable to open database file" in missing.stderr
    unnamed = query("range", "cpu", "usage", "--config", config)
    assert unnamed.exit_code == 2
    assert "one, two" in unnamed.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--function", "median"], "unknown function 'median'"),
        (["--since", "yesterday"], "'yesterday' is no duration"),
        (["--since", "0s"], "must be a whole number of milliseconds"),
        (["--from", "noon"], "'noon' is no moment"),
        (["--from", "2", "--to", "1"], "the range is empty"),
        (["--tag", "host"], "'host' must be KEY=VALUE"),
        (["--store", "one"], "--embedded needs neither --store nor --config"),
    ],
)
def test_bad_use_is_explained_with_status_2(path: Path, arguments: list[str], message: str) -> None:
    result = query("range", "cpu", "usage", "--embedded", path, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_without_any_store_the_options_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    result = query("top", "cpu", "usage")
    assert result.exit_code == 2
    assert "give --config or --embedded" in " ".join(result.stderr.split())

"""``cinnamon backtest``: the alert records of a history, and a word about what matched nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pipeline.cli import app

LEVELS = "levels: {info: {fire: 60, reset: 50}, warn: {fire: 70, reset: 60}, critical: {fire: 80, reset: 70}}\n"
GOLDEN = [61, 73, 64, 85, 62, 56, 47]
START_S = 1_780_000_000
KEYS = {"policy", "level", "previous_level", "reason", "time_ms", "value", "threshold"}


def backtest(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["backtest", *map(str, arguments)])


def records(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def levels(result: Result) -> list[tuple[int, str | None]]:
    return [((record["time_ms"] - 1000 * START_S) // 60_000, record["level"]) for record in records(result)]


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "p.yaml"
    path.write_text("id: golden\non: sample\n" + LEVELS)
    return path


def csv(path: Path, values: list[float | str], times: list[int | str] | None = None) -> Path:
    stamps = [START_S + 60 * row for row in range(len(values))] if times is None else times
    path.write_text("when,load\n" + "".join(f"{at},{value}\n" for at, value in zip(stamps, values, strict=True)))
    return path


@pytest.mark.parametrize(
    "times",
    [
        None,
        [1000 * (START_S + 60 * row) for row in range(7)],
        [f"2026-05-28T20:{26 + row}:40Z" for row in range(7)],
    ],
)
def test_the_golden_case_in_each_form_of_time(tmp_path: Path, policy: Path, times: list[int | str] | None) -> None:
    result = backtest("--policy", policy, "--time", "when", "--value", "load", csv(tmp_path / "a", GOLDEN, times))

    assert result.exit_code == 0
    assert levels(result) == [(0, "info"), (1, "warn"), (3, "critical"), (4, "info"), (6, None)]
    assert all(record.keys() >= KEYS and record["policy"] == "golden" for record in records(result))
    assert [record["previous_level"] for record in records(result)] == [None, "info", "warn", "critical", "info"]
    assert records(result)[0]["measurement"] == "csv"
    assert records(result)[0]["field"] == "load"
    assert "7 samples of 1 series" in result.stderr
    assert "golden: would have notified 5 times: 1 FIRST_BREACH, 1 LEVEL_DOWN, 2 LEVEL_UP, 1 RECOVERED" in result.stderr


def test_several_files_are_several_series_and_records_come_by_time(tmp_path: Path, policy: Path) -> None:
    files = [csv(tmp_path / "a.csv", [0, 85]), csv(tmp_path / "b.csv", [65, 0])]
    result = backtest("--policy", policy, "--time", "when", "--value", "load", *files)

    assert [(minute, level) for minute, level in levels(result)] == [(0, "info"), (1, "critical"), (1, None)]
    assert len({record["alert_id"] for record in records(result)}) == 2


def test_the_same_history_as_line_protocol_gives_the_same(tmp_path: Path, policy: Path) -> None:
    lines = [f"cpu,host=a,ns_id=prod usage={value} {START_S + 60 * row}000000000" for row, value in enumerate(GOLDEN)]
    path = tmp_path / "a.lp"
    path.write_text("\n".join(lines) + "\n")
    result = backtest("--policy", policy, path)

    assert levels(result) == [(0, "info"), (1, "warn"), (3, "critical"), (4, "info"), (6, None)]
    assert records(result)[0]["resource"] == "a"


def test_a_policy_on_windows_is_tested_on_the_workers_windows(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("id: w\non: window\nfunction: avg\n" + LEVELS)
    values = [100, 0, 100, 100, 0, 0]  # two a minute: 50, 100, 0
    history = csv(tmp_path / "a.csv", values, [START_S // 60 * 60 + 30 * row for row in range(6)])
    result = backtest("--policy", path, "--time", "when", "--value", "load", history)

    found = [(record["level"], record["value"], record["evidence"]["start_ms"]) for record in records(result)]
    assert found == [
        ("critical", 100.0, 1000 * (START_S // 60 * 60 + 60)),
        (None, 0.0, 1000 * (START_S // 60 * 60 + 120)),
    ]


def test_silence_is_decided_up_to_the_last_time_in_the_files_and_not_after_it(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("id: gone\non: silence\nsilence_after: 5m\n")
    stops = csv(tmp_path / "a.csv", [1, 1])
    goes_on = csv(tmp_path / "b.csv", [1] * 8)
    alone = backtest("--policy", path, "--time", "when", "--value", "load", stops)
    together = backtest("--policy", path, "--time", "when", "--value", "load", stops, goes_on)

    assert (alone.exit_code, records(alone)) == (0, [])
    assert levels(together) == [(6, "critical")]
    assert records(together)[0]["reason"] == "WENT_SILENT"


def test_a_policy_that_matches_nothing_says_why(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("id: cpu-high\nwhere: {measurement: cpu}\nsilence_after: 5m\n" + LEVELS)
    result = backtest("--policy", path, "--time", "when", "--value", "load", csv(tmp_path / "a.csv", GOLDEN))

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "cpu-high: matches none of the series: where.measurement 'cpu' does not match 'csv'" in result.stderr
    assert "cpu-high: of no use with on: sample: silence_after" in result.stderr


def test_all_prints_what_nobody_would_be_told(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("id: p\npending: 1m\n" + LEVELS)
    history = csv(tmp_path / "a.csv", [61, 61, 0])
    plain, everything = (
        backtest("--policy", path, "--time", "when", "--value", "load", *more, history) for more in ([], ["--all"])
    )

    assert [record["reason"] for record in records(plain)] == ["FIRST_BREACH", "RECOVERED"]
    assert [record["reason"] for record in records(everything)] == ["PENDING", "FIRST_BREACH", "RECOVERED"]


def test_rows_out_of_order_change_nothing_and_are_counted(tmp_path: Path, policy: Path) -> None:
    history = csv(tmp_path / "a.csv", [61, 99], [START_S + 60, START_S])
    result = backtest("--policy", policy, "--time", "when", "--value", "load", history)

    assert levels(result) == [(1, "info")]
    assert "1 samples were older than one before them" in result.stderr


def test_bad_lines_are_said_and_the_others_are_tested(tmp_path: Path, policy: Path) -> None:
    path = tmp_path / "a.lp"
    path.write_text(f"cpu,host=a usage=61 {START_S}000000000\ncpu,host=a usage=1x 1\n")
    result = backtest("--policy", policy, path, tmp_path / "nowhere.lp")

    assert result.exit_code == 1
    assert levels(result) == [(0, "info")]
    assert "a.lp: line 2: PARSE_NUMBER" in result.stderr
    assert "nowhere.lp: cannot read: No such file or directory" in result.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id: p\n", "levels: at least one of info, warn, critical is required"),
        ("id: p\nlevel: {}\n" + LEVELS, "level: unknown key; did you mean levels?"),
        ("[", "not valid YAML"),
        ("", "no policy in any of the files"),
        ("kind: detection\nid: d\ntitle: d\n", "there is no trigger policy in the files"),
    ],
)
def test_a_bad_policy_is_said(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    result = backtest("--policy", path, csv(tmp_path / "a.csv", GOLDEN))

    assert result.exit_code == 1
    assert message in result.stderr


def test_a_column_that_is_not_there_is_said(tmp_path: Path, policy: Path) -> None:
    result = backtest("--policy", policy, csv(tmp_path / "a.csv", GOLDEN))

    assert result.exit_code == 1
    assert "no column 'timestamp'; there are when, load" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["--from", "1h", "a.csv"]])
def test_it_wants_files_or_kafka(policy: Path, arguments: list[str]) -> None:
    result = backtest("--policy", policy, *arguments)

    assert result.exit_code == 2
    assert "give FILE, or --from" in result.stderr

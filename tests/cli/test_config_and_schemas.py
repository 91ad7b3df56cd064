"""``cinnamon config check`` explains every mistake; ``cinnamon schemas export`` writes the contract's files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from pipeline.cli import config, schemas
from pipeline.cli.output import BROKEN_PIPE_STATUS
from schemas.export import json_schemas

root = typer.Typer()
config.register(root)
schemas.register(root)

STORE = "stores: [{name: a, kind: influxdb, url: 'http://h', org: o, bucket: b, "


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(root, list(arguments))
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cinnamon.yaml"


def test_check_prints_what_is_in_force_and_hides_secrets(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(STORE + "token: hunter2}]")
    monkeypatch.setenv("CINNAMON_KAFKA__CLIENT_ID", "from-environment")

    status, out, _ = run("config", "check", "--config", str(file))

    in_force = yaml.safe_load(out)
    assert status == 0
    assert in_force["kafka"]["client_id"] == "from-environment"
    assert set(in_force["stores"][0]["token"]) == {"*"}
    assert "hunter2" not in out


def test_what_check_prints_is_a_file_that_gives_the_same_settings(file: Path) -> None:
    file.write_text("windows: {every_s: 5, rules: [{measurement: disk, every_s: 300}]}")
    _, first, _ = run("config", "check", "--config", str(file))
    file.write_text(first)

    assert run("config", "check", "--config", str(file)) == (0, first, "")


def test_check_reports_every_mistake_and_ends_with_1(file: Path) -> None:
    file.write_text("kafka: {client: x}\nwindows: {every_s: 0}")

    status, out, mistakes = run("config", "check", "--config", str(file))

    assert (status, out) == (1, "")
    assert mistakes == (
        f"{file}: kafka.client: unknown key; did you mean client_id?\n"
        f"{file}: windows.every_s: should be greater than 0; got 0\n"
    )


def test_check_opens_the_secret_files_that_are_named(file: Path) -> None:
    file.write_text(STORE + "token_file: /nowhere/token}]")

    status, _, mistakes = run("config", "check", "--config", str(file))

    assert status == 1
    assert mistakes == "stores.a.token_file: cannot read /nowhere/token: No such file or directory\n"


def test_bad_use_is_status_2() -> None:
    assert run("config", "check", "--colour")[0] == 2


def test_export_writes_the_schemas_and_prints_where(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "json"

    status, printed, _ = run("schemas", "export", "--out", str(out))

    assert status == 0
    assert printed.splitlines() == [str(out / name) for name in json_schemas()]
    assert {path.name: path.read_text() for path in out.iterdir()} == json_schemas()
    assert json.loads((out / "dead_letter.json").read_text())["title"] == "DeadLetter"


def test_export_to_where_no_folder_can_be_is_status_1(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    status, _, message = run("schemas", "export", "--out", str(tmp_path / "file"))

    assert status == 1
    assert message == f"{tmp_path / 'file'}: cannot write: File exists\n"


def test_export_writes_all_files_although_nobody_reads_their_paths(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "pipeline", "schemas", "export", "--out", str(tmp_path)]
    with os.fdopen(writing, "wb") as nobody:
        done = subprocess.run(command, stdout=nobody, stderr=subprocess.PIPE, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (BROKEN_PIPE_STATUS, b"")
    assert {path.name for path in tmp_path.iterdir()} == set(json_schemas())

"""``cinnamon control``: keys are made, listed and revoked; what is wrong is told, and no secret with it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pipeline.cli import config, control
from tests.support.servers.process import free_ports

root = typer.Typer()
control.register(root)
config.register(root)

Run = Callable[..., tuple[int, str, str]]
SECRET = "hunter-2"  # noqa: S105


@pytest.fixture
def run(tmp_path: Path) -> Run:
    environment = {"CINNAMON_CONTROL__DATABASE_FILE": str(tmp_path / "control.db")}

    def running(*arguments: str, **more: str) -> tuple[int, str, str]:
        result = CliRunner(env=environment | more).invoke(root, arguments)
        return result.exit_code, result.stdout, result.stderr

    return running


def test_a_key_is_made_listed_and_revoked(run: Run) -> None:
    made = run("control", "create-key", "--name", "ops", "--role", "viewer", "--tenant", "a", "--expires", "90d")
    assert (made[0], made[1].startswith("cin_"), made[2]) == (0, True, "")
    secret = made[1].strip().split("_", 2)[2]

    status, listed, _ = run("control", "list-keys")
    row = json.loads(listed)
    assert (status, row["name"], row["role"], row["tenants"]) == (0, "ops", "viewer", ["a"])
    assert row["expires_ms"] - row["created_ms"] == pytest.approx(90 * 86_400_000, abs=60_000)
    assert secret not in listed

    assert run("control", "revoke-key", row["id"]) == (0, f"revoked {row['id']}\n", "")
    assert run("control", "revoke-key", row["id"])[0] == 1


@pytest.mark.parametrize(
    "arguments", [("--role", "root"), ("--role", "viewer", "--tenant", "*"), ("--role", "viewer", "--expires", "soon")]
)
def test_a_key_that_would_be_wrong_is_not_made(run: Run, arguments: tuple[str, ...]) -> None:
    assert run("control", "create-key", "--name", "ops", *arguments)[0] == 2
    assert run("control", "list-keys")[1] == ""


def test_the_tables_are_made_and_nothing_waits_to_be_published(run: Run) -> None:
    assert run("control", "--migrate") == (0, "the tables are up to date\n", "")
    assert run("control", "republish")[1].startswith("0 documents")


def test_a_database_that_is_away_is_told_without_its_password(run: Run, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    url = f"postgresql://cinnamon:{SECRET}@127.0.0.1:{port}/cinnamon"
    key_file = {"CINNAMON_CONTROL__SECRETS_KEY_FILE": str(tmp_path / "keys")}

    status, out, error = run("control", "--migrate", CINNAMON_CONTROL__DATABASE_SECRET=url, **key_file)

    assert (status, out) == (1, "")
    assert error.startswith("the database cannot be used: ")
    assert SECRET not in error


def test_config_check_reads_what_the_control_service_needs(run: Run, tmp_path: Path) -> None:
    missing = {"CINNAMON_CONTROL__SECRETS_KEY_FILE": str(tmp_path / "keys")}
    url = {"CINNAMON_CONTROL__DATABASE_SECRET": f"mysql://cinnamon:{SECRET}@host/cinnamon"}
    issuer = {"CINNAMON_CONTROL__OIDC_ISSUER": f"https://me:{SECRET}@login.example.org"}

    status, out, error = run("config", "check", **missing, **url)
    assert (status, out, len(error.splitlines())) == (1, "", 2)
    assert SECRET not in error
    status, out, error = run("config", "check", **issuer)
    assert status == 1
    assert SECRET not in out + error

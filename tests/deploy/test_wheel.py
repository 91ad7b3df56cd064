"""The wheel, installed into an environment of its own beside what the lock file names, does what a user does first."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline import __version__
from tests.deploy.conftest import ROOT

pytestmark = [pytest.mark.wheel, pytest.mark.server, pytest.mark.timeout(1200)]


def run(*command: str | Path, cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, check=False, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """What a user's shell has: nothing of this run's packages and caches."""
    hidden = {"PYTHONPATH", "NUMBA_CACHE_DIR", "VIRTUAL_ENV"}
    return {name: value for name, value in os.environ.items() if name not in hidden}


@pytest.fixture(scope="module")
def installed(wheel: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment with what is locked, and the wheel."""
    folder = tmp_path_factory.mktemp("installed")
    programs = folder / "bin"
    lock = ROOT / "deploy" / "requirements.lock"
    pip = (programs / "python", "-m", "pip", "--disable-pip-version-check")
    steps = (
        (sys.executable, "-m", "venv", folder),
        (*pip, "install", "--quiet", "--require-hashes", "--requirement", lock),
        (*pip, "install", "--quiet", "--no-deps", "--no-index", wheel),
        (*pip, "check"),
    )
    for step in steps:
        done = run(*step, cwd=folder, environment=environment)
        assert done.returncode == 0, done.stdout + done.stderr
    return programs


def test_it_says_its_version(installed: Path, environment: dict[str, str], tmp_path: Path) -> None:
    done = run(installed / "cinnamon", "--version", cwd=tmp_path, environment=environment)

    assert (done.returncode, done.stdout, done.stderr) == (0, f"cinnamon {__version__}\n", "")


def test_it_writes_the_schemas_that_it_carries(
    installed: Path, wheel: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    done = run(installed / "cinnamon", "schemas", "export", "--out", "json", cwd=tmp_path, environment=environment)

    assert (done.returncode, done.stderr) == (0, "")
    written = {f"schemas/json/{path.name}": path.read_bytes() for path in (tmp_path / "json").iterdir()}
    with zipfile.ZipFile(wheel) as archive:
        carried = {name: archive.read(name) for name in archive.namelist() if name.startswith("schemas/json/")}
    assert written == carried


def test_it_makes_the_tables_of_the_control_service(
    installed: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    settings = {**environment, "CINNAMON_CONTROL__DATABASE_FILE": str(tmp_path / "control.db")}
    done = run(installed / "cinnamon", "control", "--migrate", cwd=tmp_path, environment=settings)

    assert (done.returncode, done.stdout) == (0, "the tables are up to date\n"), done.stderr
    assert (tmp_path / "control.db").stat().st_size > 0


def test_the_first_up_compiles_the_kernels_and_says_so_and_the_next_does_not(
    installed: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    up = (installed / "cinnamon", "up", "--simulate", "5", "--every", "2s", "--duration", "10s", "--json")

    first = run(*up, cwd=tmp_path, environment=environment)
    second = run(*up, cwd=tmp_path, environment=environment)

    assert [first.returncode, second.returncode] == [0, 0], first.stderr + second.stderr
    assert first.stderr.startswith("compiling the kernels, once: two to three minutes …\n")
    assert second.stderr == ""
    for run_of_it in (first, second):
        summary = json.loads(run_of_it.stdout.splitlines()[-1])
        assert summary["complete"]
        assert summary["windows"] > 0
        assert summary["balance"]["holds"]
        assert summary["balance"]["aggregated"] == summary["balance"]["in"] > 0

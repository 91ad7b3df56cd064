"""The lock file of an image fits what the package asks for, and names each file by its hash alone."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "deploy" / "requirements.lock"


def entries() -> list[tuple[Requirement, list[str]]]:
    """Return what is locked, each with the options behind it."""
    lines = LOCK.read_text().replace("\\\n", " ").splitlines()
    parted = [line.partition(" --") for line in lines if not line.startswith("#")]
    return [(Requirement(name), f"--{options}".split()) for name, _, options in parted]


def locked() -> dict[str, list[str]]:
    """Return the versions by name: there may be one for each of several versions of Python."""
    versions: dict[str, list[str]] = {}
    for requirement, _ in entries():
        (pin,) = requirement.specifier
        assert pin.operator == "==", requirement
        versions.setdefault(canonicalize_name(requirement.name), []).append(pin.version)
    return versions


def test_every_dependency_is_locked_within_its_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(line) for line in project["dependencies"]]
    versions = locked()

    outside = [
        each.name
        for each in wanted
        if not all(version in each.specifier for version in versions.get(canonicalize_name(each.name), ["0"]))
    ]

    assert outside == []


def test_nothing_of_development_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {canonicalize_name(Requirement(wanted).name) for wanted in project["optional-dependencies"]["dev"]}

    assert names & locked().keys() == set()


def test_every_file_is_named_by_its_hash_and_no_place_is() -> None:
    for requirement, options in entries():
        assert options, f"{requirement} has no hash"
        assert [option for option in options if not re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", option)] == []
    assert "://" not in LOCK.read_text()

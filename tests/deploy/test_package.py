"""What the distributions carry, and that the version stands in one place."""

import email.parser
import re
import tarfile
import zipfile
from pathlib import Path

from packaging.version import Version

import pipeline
from tests.deploy.conftest import ROOT, source_files

PACKAGES = ("pipeline", "schemas", "topics")


def test_the_wheel_carries_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        carried = [name for name in archive.namelist() if ".dist-info/" not in name]

    assert sorted(carried) == source_files(*PACKAGES)


def test_every_package_says_that_it_is_typed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert {f"{name}/py.typed" for name in PACKAGES} <= set(archive.namelist())


def test_the_source_distribution_carries_what_comes_beside_the_packages(distributions: Path) -> None:
    (path,) = distributions.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        carried = {name.partition("/")[2] for name in archive.getnames()}

    assert {"CHANGELOG.md", "LICENSE", "README.md", "deploy/requirements.lock", "pyproject.toml"} <= carried
    assert not [name for name in carried if name.startswith(("tests/", ".tools/"))]


def test_the_wheel_has_the_version_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.parser.BytesParser().parsebytes(archive.read(name))

    assert metadata["Version"] == pipeline.__version__


def test_the_version_stands_in_one_place() -> None:
    names = [name for name in source_files(*PACKAGES, "bench", "pyproject.toml") if name.endswith((".py", ".toml"))]

    holding = [name for name in names if f'"{pipeline.__version__}"' in (ROOT / name).read_text()]

    assert holding == ["pipeline/__init__.py"]


def test_the_newest_section_of_the_changelog_is_that_of_the_version() -> None:
    """A version in development belongs to what is unreleased, a release to a section of its own, with its date."""
    newest = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    version = re.escape(pipeline.__version__)
    wanted = r"\[Unreleased\]" if Version(pipeline.__version__).is_devrelease else rf"\[{version}\] - \d{{4}}-\d\d-\d\d"

    assert re.fullmatch(wanted, newest), f"expected a section {wanted}, got {newest}"

"""The docstring of `pipeline` is the map of the house: it must show what there is."""

import re
from pathlib import Path

import pipeline

ROOT = Path(pipeline.__file__).parents[1]
PACKAGES = ("pipeline", "schemas", "topics")


def mapped() -> list[str]:
    """Return the packages (with a slash behind) and modules that the map names."""
    found = []
    package = ""
    for line in (pipeline.__doc__ or "").splitlines():
        if heading := re.fullmatch(r" {4}(\S+/)  \S.*", line):
            package = heading[1]
            found.append(package)
        elif module := re.fullmatch(r" {8}(\S+\.py) +\S.*", line):
            found.append(package + module[1])
    return found


def test_the_map_names_every_module_and_nothing_else() -> None:
    there = set()
    for name in PACKAGES:
        for path in (ROOT / name).rglob("*.py"):
            place = path.relative_to(ROOT)
            there.add(f"{place.parent.as_posix()}/" if path.name == "__init__.py" else place.as_posix())

    assert sorted(mapped()) == sorted(there)


def test_every_line_below_the_map_is_part_of_it() -> None:
    _, _, text = (pipeline.__doc__ or "").partition("::\n")

    assert len([line for line in text.splitlines() if line.strip()]) == len(mapped())

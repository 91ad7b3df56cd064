"""What coverage.py measured, as a table with a row a package: ``python -m tools.coverage_by_package``."""

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

from coverage import Coverage

COUNTS: Final = ("num_statements", "covered_lines", "num_branches", "covered_branches")


def main() -> None:
    """Print the table, in Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        measured = Coverage()
        measured.load()
        measured.json_report(outfile=str(report))
        files = json.loads(report.read_text())["files"]
    totals: dict[str, Counter[str]] = {}
    for path, file in files.items():
        for name in (package_of(path), "all"):
            totals.setdefault(name, Counter()).update({count: file["summary"][count] for count in COUNTS})
    rows = ["| package | lines | reached | branches | reached |", "|---|---|---|---|---|"]
    for name in sorted(totals, key=lambda name: (name == "all", name)):
        lines, reached, branches, taken = (totals[name][count] for count in COUNTS)
        rows.append(f"| `{name}` | {lines:,} | {share(reached, lines)} | {branches:,} | {share(taken, branches)} |")
    sys.stdout.write("\n".join([*rows, ""]))


def package_of(path: str) -> str:
    """Return the package of a file: two folders deep, within the core three."""
    folders = Path(path).parent.parts
    return "/".join(folders[: 3 if folders[:2] == ("pipeline", "core") else 2])


def share(part: int, whole: int) -> str:
    """Return a percentage as text."""
    return f"{part / whole:.1%}" if whole else "-"


if __name__ == "__main__":
    main()

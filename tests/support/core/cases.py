"""Telegraf's parser cases as they lie in ``tests/data/telegraf_cases``."""

import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[2] / "data"


def telegraf_cases(name: str) -> list[dict[str, Any]]:
    """Return the cases of one file."""
    cases: list[dict[str, Any]] = json.loads((DATA / "telegraf_cases" / name).read_text(encoding="utf-8"))["cases"]
    return cases

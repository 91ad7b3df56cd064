"""The page of stages, from their registry."""

from collections.abc import Iterable
from typing import Final

from pipeline.stages.registry import stage_rows
from tools.reference.markdown import code, table

__all__ = ["page"]

INTRO: Final = """\
# Stages

One line a stage, in the order of the data. A worker runs those of `worker.stages`, or of `cinnamon worker --stages`.
*Reads* is what it gets record by record; *follows* is what it keeps in memory as a table. Groups begin with
`kafka.group_prefix`, `cinnamon` by default. Other packages add stages with an entry point of the group
`cinnamon.stages`.

"""
HEADS: Final = ("stage", "what it does", "reads", "writes", "follows", "consumer groups", "state it keeps")


def page() -> str:
    """Return the page."""
    rows = [
        (
            code(row.name),
            row.summary,
            _codes(row.reads),
            _codes(row.writes),
            _codes(row.follows),
            _codes(row.groups),
            row.keeps,
        )
        for row in stage_rows()
    ]
    return INTRO + table(HEADS, rows)


def _codes(names: Iterable[str]) -> str:
    return ", ".join(code(name) for name in names)

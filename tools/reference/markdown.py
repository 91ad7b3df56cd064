"""Tables and words as Markdown."""

import inspect
import re
from collections.abc import Iterable, Sequence

__all__ = ["code", "prose", "table"]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, with a line break behind it."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def code(text: str) -> str:
    """Return a text as code; nothing for none.

    Examples
    --------
    >>> code("cpu"), code("")
    ('`cpu`', '')
    """
    return f"`{text}`" if text else ""


def prose(docstring: str | None) -> str:
    """Return a docstring as Markdown, with names as code: its text without numpydoc's sections.

    Examples
    --------
    >>> prose("The value of ``alerts``, see `Record`.")
    'The value of `alerts`, see `Record`.'
    """
    text = inspect.cleandoc(docstring or "")
    text = re.split(r"\n\n[A-Z][a-z]+\n-{3,}\n", text)[0]
    return text.replace("``", "`").strip()

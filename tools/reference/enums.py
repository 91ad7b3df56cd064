"""The page of closed sets: reasons, outcomes and states, with what each value means."""

import ast
import importlib
import inspect
import pkgutil
from enum import StrEnum
from itertools import pairwise
from types import ModuleType
from typing import Final

import schemas
from pipeline.audit import report
from tools.reference.markdown import code, prose, table

__all__ = ["page"]

INTRO: Final = """\
# Reasons, states and outcomes

Closed sets: what may stand in a record, and in a metric's label. No other value comes.
"""


def page() -> str:
    """Return the page."""
    modules = [importlib.import_module(f"schemas.{found.name}") for found in pkgutil.iter_modules(schemas.__path__)]
    return INTRO + "".join(_section(enum) for module in [*modules, report] for enum in _enums(module))


def _enums(module: ModuleType) -> list[type[StrEnum]]:
    """Return the sets that a module itself defines, in the order of its text."""
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, StrEnum) and value.__module__ == module.__name__
    ]


def _section(enum: type[StrEnum]) -> str:
    meanings = _meanings(enum)
    rows = [(code(value.value), meanings.get(value.name, "")) for value in enum]
    return f"\n## {enum.__name__}\n\n{prose(enum.__doc__)}\n\n{table(('value', 'meaning'), rows)}"


def _meanings(enum: type[StrEnum]) -> dict[str, str]:
    """Return the text below each member in the source: Python itself does not keep it."""
    lines = [line for node in ast.parse(inspect.getsource(enum)).body for line in getattr(node, "body", ())]
    return {
        ast.unparse(member.targets[0]): prose(str(text.value.value))
        for member, text in pairwise(lines)
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }

"""The page of commands: every command, argument and option, with its help."""

from collections.abc import Iterator
from typing import Any, Final

import typer.core
import typer.main

from pipeline.cli import app
from tools.reference.markdown import code, table

__all__ = ["page"]

INTRO: Final = """\
# Commands

Exit status of every command: 0 fine, 1 bad data or a failure, 2 bad use; 130 after Ctrl-C. `-` is standard input;
errors go to standard error. Every command takes `--help`. Durations are a number and `ms`, `s`, `m`, `h` or `d`.
"""


def page() -> str:
    """Return the page."""
    parts = [INTRO]
    for words, command in _commands("cinnamon", typer.main.get_command(app)):
        rows = [_row(parameter) for parameter in command.params if not parameter.hidden and parameter.name != "help"]
        parts.append(f"## {words}\n\n{_paragraphs(command.help)}\n" + ("\n" + table(("", ""), rows) if rows else ""))
    return "\n".join(parts)


def _commands(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Yield each command with its words; of a group its commands."""
    if not isinstance(command, typer.core.TyperGroup):
        yield words, command
        return
    for name, inner in command.commands.items():
        yield from _commands(f"{words} {name}", inner)


def _row(parameter: Any) -> tuple[str, str]:
    is_argument = parameter.param_type_name == "argument"
    value = parameter.metavar or str(parameter.name).upper().strip("_")
    if is_argument:
        shown = code(value)
    else:
        names = ", ".join([*parameter.opts, *parameter.secondary_opts])
        shown = code(names if parameter.is_flag else f"{names} {value}")
    text = " ".join((parameter.help or "").split())
    return shown, " ".join(part for part in (text, _default(parameter)) if part)


def _default(parameter: Any) -> str:
    if parameter.required:
        return "Required."
    if isinstance(parameter.show_default, str):
        return f"Default: {parameter.show_default}."
    value = parameter.default
    if parameter.is_flag if hasattr(parameter, "is_flag") else False:
        return ""
    if value is None or value in ((), []) or callable(value):
        return ""
    return f"Default: {code(str(getattr(value, 'value', value)))}."


def _paragraphs(text: str | None) -> str:
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n"))

"""The page of settings: every section and field, with the environment variable that sets it."""

from typing import Final

from pipeline.factory import Settings
from pipeline.settings.model import NESTED, PREFIX
from tools.reference.fields import Schema, referred, rows
from tools.reference.markdown import code, table

__all__ = ["page"]

INTRO: Final = """\
# Settings

A YAML file (`--config FILE`) has the sections below as top-level keys. The environment beats the file:
`CINNAMON_<SECTION>__<KEY>`. Options of a command beat both.

    CINNAMON_KAFKA__BOOTSTRAP_SERVERS=kafka-1:9092,kafka-2:9092
    CINNAMON_WINDOWS__EVERY_S=30
    CINNAMON_STORES__EU_WEST__TOKEN=…        # the store named eu-west in the file

- Lists in the environment are JSON, or separated by commas. Empty variables count as absent.
- Unknown keys, keys that stand twice and values out of range are errors.
  `cinnamon config check --config FILE` prints all of them at once, or the settings in force with secrets hidden.
- Passwords and tokens are best kept in files (`sasl_password_file`, `token_file`): read once at the start, white
  space around them cut. They appear in no log and no message.
- Names end with their unit: `_s` is seconds, `_bytes` bytes, `_days` days.
"""
HEADS: Final = ("key", "environment", "type", "default", "range", "meaning")


def page() -> str:
    """Return the page."""
    schema = Settings.model_json_schema()
    parts = [INTRO]
    for section, field in schema["properties"].items():
        is_list = "items" in field
        variable = f"{PREFIX}{section.upper()}{NESTED}" + (f"<NAME>{NESTED}" if is_list else "")
        text = Settings.model_fields[section].description or ""
        parts += _sections(schema["$defs"], section + "[]" * is_list, referred(field), variable, text)
    return "\n".join(parts)


def _sections(models: dict[str, Schema], title: str, name: str, variable: str, text: str) -> list[str]:
    """Return the table of a section, and those of the lists of sections in it, which no variable sets by itself."""
    model = models[name]
    inner = {key: found for key, field in model["properties"].items() if (found := referred(field))}

    def link(name: str) -> str:
        key = next(key for key, found in inner.items() if found == name)
        return f"[{title}.{key}[]](#{title.replace('.', '')}{key})"

    heads = HEADS if variable else (HEADS[0], *HEADS[2:])
    shown = [
        (key, *([code(variable + key.strip("`").upper())] if variable else ()), *rest)
        for key, *rest in rows(model, models, link)
    ]
    parts = [f"## {title}\n\n{text}\n\n{table(heads, shown)}"]
    for key, found in inner.items():
        parts += _sections(models, f"{title}.{key}[]", found, "", models[found]["description"])
    return parts

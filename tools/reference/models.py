"""The pages of records (what stages write) and of documents (what people write), from their models."""

from typing import Final

from pydantic import BaseModel

from schemas.export import POLICIES, RECORDS
from tools.reference.fields import rows
from tools.reference.markdown import prose, table

__all__ = ["documents_page", "records_page"]

RECORDS_INTRO: Final = """\
# Records

What the stages write to Kafka: JSON in UTF-8, one record a message. `cinnamon schemas export` writes the same as
JSON Schema; the files are in `schemas/json/`.
"""
DOCUMENTS_INTRO: Final = """\
# Documents

What people write: trigger policies, detection rules, scenarios, channels and the rest. They are YAML or JSON, with
one `kind` each (a document without `kind` is a trigger policy), and they lie on the topic `policies`.
`cinnamon policy apply -f DIR` or the control service puts them there. A mistake is refused with its key, what is
allowed and what was found; all mistakes at once. A duration is a number and `ms`, `s`, `m`, `h` or `d`, as in `5m`.
"""
HEADS: Final = ("field", "type", "default", "range", "meaning")


def records_page() -> str:
    """Return the page of records."""
    return RECORDS_INTRO + "".join(_section(file, model) for file, model in RECORDS.items())


def documents_page() -> str:
    """Return the page of documents."""
    return DOCUMENTS_INTRO + "".join(_section(file, model) for file, model in POLICIES.items())


def _section(file: str, model: type[BaseModel]) -> str:
    """Return a model's table, and those of the models that it is made of."""
    schema = model.model_json_schema()
    parts = schema.get("$defs", {})

    def link(name: str) -> str:
        anchor = f"reasons.md#{name.lower()}" if "enum" in parts[name] else f"#{model.__name__.lower()}-{name.lower()}"
        return f"[{name}]({anchor})"

    text = f"\n## {model.__name__}\n\n{prose(model.__doc__)}\n\nSchema: [{file}](../../schemas/json/{file})\n"
    text += "\n" + table(HEADS, rows(schema, parts, link))
    for name, part in parts.items():
        if "enum" not in part:
            fields = table(HEADS, rows(part, parts, link))
            text += f"\n### {model.__name__}: {name}\n\n{prose(part.get('description'))}\n\n{fields}"
    return text

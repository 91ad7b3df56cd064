"""The fields of pydantic models as rows, read from their JSON Schema."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from pydantic import TypeAdapter

from schemas.durations import duration_text
from tools.reference.markdown import code

__all__ = ["Row", "Schema", "referred", "rows", "type_text"]

Schema = dict[str, Any]
Row = tuple[str, str, str, str, str]
NAMES: Final = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
FORMATS: Final = {"password": "secret", "path": "path", "date-time": "time with offset from UTC"}
_DURATION: Final = TypeAdapter(timedelta)


def referred(field: Schema) -> str:
    """Return the name of the model or enum that a field's schema refers to; empty for none.

    Examples
    --------
    >>> referred({"type": "array", "items": {"$ref": "#/$defs/Target"}}), referred({"type": "string"})
    ('Target', '')
    """
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    parts = [*field.get("anyOf", ()), *([field["items"]] if "items" in field else ())]
    return next((name for part in parts if (name := referred(part))), "")


def rows(schema: Schema, definitions: dict[str, Schema], link: Callable[[str], str]) -> list[Row]:
    """Return name, type, default, range and meaning of each field of a model.

    Parameters
    ----------
    schema
        The model's JSON Schema.
    definitions
        Those of the models and enums that it is made of, by name.
    link
        Makes a link to one of these from its name.
    """
    required = schema.get("required", ())
    found = []
    for name, field in schema.get("properties", {}).items():
        # JSON Schema leaves a field's description out where it is that of its model.
        meaning = field.get("description") or definitions.get(referred(field), {}).get("description", "")
        default = "required" if name in required else default_text(field)
        found.append((code(name), type_text(field, link), default, range_text(field), " ".join(meaning.split())))
    return found


def type_text(field: Schema, link: Callable[[str], str]) -> str:
    """Return what a value may be.

    Examples
    --------
    >>> type_text({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]}, str)
    'list of text, or none'
    """
    if "anyOf" in field:
        kinds = [type_text(kind, link) for kind in field["anyOf"] if kind.get("type") != "null"]
        return ", or ".join([*kinds, *["none"] * (len(kinds) < len(field["anyOf"]))])
    if "$ref" in field:
        return link(referred(field))
    if "enum" in field or "const" in field:
        return ", ".join(code(str(value)) for value in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        items = field.get("prefixItems") or [field.get("items", {})]
        return f"list of {', '.join(type_text(item, link) for item in items)}"
    if field.get("type") == "object":
        return f"mapping of names to {type_text(field.get('additionalProperties', {}), link)}"
    return _plain_type_text(field)


def default_text(field: Schema) -> str:
    """Return a default as a file has it; ``none`` where nothing is there.

    Examples
    --------
    >>> default_text({"default": 0.1}), default_text({"default": ["a", "b"]}), default_text({"default": {}})
    ('`0.1`', '`a, b`', 'none')
    """
    value = field.get("default")
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, dict):
        is_plain = all(isinstance(inner, (int, float, str)) and inner != "*" for inner in value.values())
        texts = [f"{name}: {_plain(inner)}" for name, inner in value.items()]
        return code(", ".join(texts)) if is_plain else "its defaults"
    if isinstance(value, list):
        return code(", ".join(_plain(each) for each in value))
    return code(_plain(value)) or "empty"


def range_text(field: Schema) -> str:
    """Return which values are allowed; nothing where all are.

    Examples
    --------
    >>> range_text({"minimum": 1, "maximum": 20}), range_text({"exclusiveMinimum": 0})
    ('1 to 20', 'above 0')
    """
    limits: Schema = {}
    for part in (field, *field.get("anyOf", ()), field.get("items", {})):
        limits = part | limits
    least, most = limits.get("minimum", limits.get("ge")), limits.get("maximum", limits.get("le"))
    above = limits.get("exclusiveMinimum", limits.get("gt"))
    texts = []
    if least is not None and most is not None:
        texts.append(f"{least:,} to {most:,}")
    elif above is not None:
        texts.append(f"above {above:,}" + ("" if most is None else f", at most {most:,}"))
    elif least is not None or most is not None:
        texts.append(f"at least {least:,}" if most is None else f"at most {most:,}")
    if "maxLength" in limits:
        texts.append(f"{'each ' * ('items' in field)}at most {limits['maxLength']:,} characters")
    if "maxItems" in limits and "prefixItems" not in limits:
        texts.append(f"at most {limits['maxItems']:,} entries")
    if "pattern" in limits:
        texts.append(code(limits["pattern"]))
    return "; ".join(texts)


def _plain_type_text(field: Schema) -> str:
    """Return what a value may be that is not made of others."""
    if field.get("contentEncoding") == "base64":
        return "text in base64"
    if _is_duration(field):
        return "duration"
    return FORMATS.get(field.get("format", ""), NAMES.get(field.get("type", ""), "any"))


def _is_duration(field: Schema) -> bool:
    return "0s" in field.get("examples", ())


def _plain(value: Any) -> str:
    """Return a number, a word or a duration as a file has it."""
    if isinstance(value, str) and value.startswith("PT"):
        return duration_text(_DURATION.validate_python(value) // timedelta(milliseconds=1))
    if isinstance(value, float):
        return f"{value:g}" if value < 1e5 else f"{value:.0f}"
    return value if isinstance(value, str) else json.dumps(value)

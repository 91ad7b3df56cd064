"""The generated pages of the reference are what the code says, and say all of it."""

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.factory import Settings, declared_metrics
from pipeline.settings.base import Section
from tools.reference import pages

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGES = pages()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_page_is_what_make_docs_writes(name: str) -> None:
    assert (REFERENCE / name).read_text(encoding="utf-8") == PAGES[name]


def section_of(annotation: object) -> type[Section] | None:
    """Return the section that a field is, or is a list of."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for inner in get_args(annotation) if (found := section_of(inner)) is not None), None)


def sections(model: type[BaseModel], above: str = "") -> dict[str, type[BaseModel]]:
    """Return every section of the settings by its name on the page; lists of sections end with brackets."""
    found: dict[str, type[BaseModel]] = {}
    for name, field in model.model_fields.items():
        section = section_of(field.annotation)
        if section is not None:
            title = above + name + ("" if field.annotation is section else "[]")
            found |= {title: section} | sections(section, f"{title}.")
    return found


def shown_default(field: FieldInfo) -> str:
    """Return a default as the page writes it."""
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value is None or value in ((), {}):
        return "none"
    if isinstance(value, tuple):
        return f"`{', '.join(value)}`"
    if isinstance(value, float):
        return f"`{value:.0f}`" if value.is_integer() else f"`{value:g}`"
    return f"`{value}`"


def test_the_page_of_settings_has_every_setting_with_its_default_and_no_other() -> None:
    wanted = {
        title: [(name, shown_default(field)) for name, field in model.model_fields.items()]
        for title, model in sections(Settings).items()
    }
    found = {}
    for part in PAGES["settings.md"].split("\n## ")[1:]:
        title, *lines = part.splitlines()
        head = next(line for line in lines if line.startswith("| key"))
        column = [cell.strip() for cell in head.split("|")].index("default")
        cells = [re.split(r" *(?<!\\)\| *", line) for line in lines if line.startswith("| `")]
        found[title] = [(row[1].strip("`"), row[column]) for row in cells]

    assert found == wanted


def test_the_page_of_metrics_has_every_metric_with_its_type_and_no_other() -> None:
    found = re.findall(r"^\| `(cinnamon_\w+)` \| (\w+) \|", PAGES["metrics.md"], re.MULTILINE)
    collected = [family for family in declared_metrics().registry.collect() if family.name.startswith("cinnamon_")]
    wanted = [
        (f"{family.name}_total" if family.type == "counter" else family.name, family.type) for family in collected
    ]

    assert sorted(found) == sorted(wanted)

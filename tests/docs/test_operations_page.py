"""The settings and metrics on the page for operators are those that there are."""

import re
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.runtime.observability.metrics import Metrics
from pipeline.settings.model import (
    ActSettings,
    ControlSettings,
    DetectSettings,
    KafkaSettings,
    ParsingSettings,
    StoreSettings,
    TriggerSettings,
    WindowRuleSettings,
    WindowsSettings,
    WorkerSettings,
)

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGE = "".join((REFERENCE / f"{name}.md").read_text(encoding="utf-8") for name in ("settings", "metrics"))
SECTIONS: dict[str, type[BaseModel]] = {
    "kafka": KafkaSettings,
    "parsing": ParsingSettings,
    "windows": WindowsSettings,
    "windows.rules[]": WindowRuleSettings,
    "stores[]": StoreSettings,
    "detect": DetectSettings,
    "trigger": TriggerSettings,
    "act": ActSettings,
    "worker": WorkerSettings,
    "control": ControlSettings,
}


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
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def test_the_page_has_every_setting_with_its_default_and_no_other() -> None:
    wanted = {
        section: [(name, shown_default(field)) for name, field in model.model_fields.items()]
        for section, model in SECTIONS.items()
    }
    found = {}
    for section in SECTIONS:
        _, _, rest = PAGE.partition(f"\n### {section}\n")
        table = re.split(r"\n(?![|\n])", rest, maxsplit=1)[0]
        found[section] = re.findall(r"^\| `(\w+)` \| (.+?) \|", table, re.MULTILINE)

    assert found == wanted


def test_the_page_has_every_metric_with_its_type_and_no_other() -> None:
    found = {(name, kind) for name, kind in re.findall(r"^\| `(cinnamon_\w+)` \| (\w+) \|", PAGE, re.MULTILINE)}
    collected = [family for family in Metrics().registry.collect() if family.name.startswith("cinnamon_")]
    wanted = {
        (f"{family.name}_total" if family.type == "counter" else family.name, family.type) for family in collected
    }

    assert found == wanted

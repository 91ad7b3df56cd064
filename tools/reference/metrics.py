"""The page of metrics: every family that a process exports."""

import re
from pathlib import Path
from typing import Final

from prometheus_client.metrics import MetricWrapperBase

import pipeline
from pipeline.runtime.observability.metrics import Metrics
from tools.reference.markdown import code, table

__all__ = ["page"]

INTRO: Final = """\
# Metrics

What `/metrics` of a worker and of the control service has for Prometheus, beside `process_*`. Labels are closed sets:
no label holds a series, a resource or an error's text. *Set by* names the stages; *several* is code that stages share.

"""
PACKAGE: Final = Path(pipeline.__file__).parent


def page() -> str:
    """Return the page."""
    families = {name: each for name, each in vars(Metrics()).items() if isinstance(each, MetricWrapperBase)}
    users = _users()
    rows = [(*_row(family), ", ".join(sorted(users.get(name, ())))) for name, family in families.items()]
    return INTRO + table(("metric", "type", "labels", "meaning", "set by"), rows)


def _row(family: MetricWrapperBase) -> tuple[str, str, str, str]:
    (described,) = family.describe()
    name = f"{described.name}_total" if described.type == "counter" else described.name
    labels = family._labelnames  # noqa: SLF001  the library has no public way to ask
    return code(name), described.type, ", ".join(labels), described.documentation


def _users() -> dict[str, set[str]]:
    """Return who sets each metric, by the attribute of `Metrics` that the code names."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for name in re.findall(r"metrics\.(\w+)", path.read_text(encoding="utf-8")):
            found.setdefault(name, set()).add(_user(path.relative_to(PACKAGE)))
    return found


def _user(path: Path) -> str:
    """Return whose a module is: a stage's, the control service's, or that of several stages."""
    if path.parts[0] == "control":
        return "control service"
    return path.parts[1] if path.parts[0] == "stages" and len(path.parts) > 2 else "several"

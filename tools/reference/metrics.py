"""The page of metrics: every family that a process exports."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.metrics import MetricWrapperBase

from pipeline.control.metrics import ControlFamilies
from pipeline.runtime.observability.metrics import Metrics
from pipeline.stages.registry import stage_specs
from tools.reference.markdown import code, table

__all__ = ["page"]

INTRO: Final = """\
# Metrics

What `/metrics` of a worker and of the control service has for Prometheus, beside `process_*`. Labels are closed sets:
no label holds a series, a resource or an error's text. *Set by* names the stage that declares a metric for itself.

"""


def page() -> str:
    """Return the page."""
    rows = [_row(family, owner) for owner, family in _owned()]
    return INTRO + table(("metric", "type", "labels", "meaning", "set by"), rows)


def _owned() -> Iterator[tuple[str, MetricWrapperBase]]:
    """Yield each family with who declares it: those of every stage first, then stage by stage."""
    metrics = Metrics()
    declared = [("every stage", len(metrics.families))]
    for spec in stage_specs():
        if spec.metrics is not None:
            spec.metrics(metrics)
        declared.append((spec.name, len(metrics.families)))
    ControlFamilies(metrics)
    declared.append(("control service", len(metrics.families)))
    begin = 0
    for owner, end in declared:
        yield from ((owner, family) for family in metrics.families[begin:end])
        begin = end


def _row(family: MetricWrapperBase, owner: str) -> tuple[str, ...]:
    (described,) = family.describe()
    name = f"{described.name}_total" if described.type == "counter" else described.name
    labels = family._labelnames  # noqa: SLF001  the library has no public way to ask
    return code(name), described.type, ", ".join(labels), described.documentation, owner

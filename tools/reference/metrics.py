"""The page of metrics: every family that a process exports."""

from typing import Final

from prometheus_client.metrics import MetricWrapperBase

from pipeline.runtime.observability.metrics import Metrics
from tools.reference.markdown import code, table

__all__ = ["page"]

INTRO: Final = """\
# Metrics

What `/metrics` of a worker and of the control service has for Prometheus, beside `process_*`. Labels are closed sets:
no label holds a series, a resource or an error's text.

"""


def page() -> str:
    """Return the page."""
    families = [value for value in vars(Metrics()).values() if isinstance(value, MetricWrapperBase)]
    return INTRO + table(("metric", "type", "labels", "meaning"), [_row(family) for family in families])


def _row(family: MetricWrapperBase) -> tuple[str, str, str, str]:
    (described,) = family.describe()
    name = f"{described.name}_total" if described.type == "counter" else described.name
    labels = family._labelnames  # noqa: SLF001  the library has no public way to ask
    return code(name), described.type, ", ".join(labels), described.documentation

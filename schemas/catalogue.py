"""The metric catalogue: unit, kind, range and meaning of every metric that Cinnamon promises."""

from functools import cached_property, lru_cache
from importlib import resources
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["gauge", "counter", "state"]
Scope = Literal["vm", "mck8s", "mcis"]

PROMISED: dict[Scope, int] = {"vm": 57, "mck8s": 17, "mcis": 16}
"""How many metrics of each scope there are."""


class Metric(BaseModel):
    """One metric of the catalogue."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="A short unique name for pages and messages.")
    scope: Scope = Field(description="What is measured: a VM, a Kubernetes node, or a multi-cloud infrastructure.")
    group: str = Field(min_length=1, description="The group it is shown in.")
    measurement: str = Field(min_length=1, description="The measurement that agents send it in.")
    field: str = Field(min_length=1, description="The field that agents send it in.")
    unit: str = Field(min_length=1, description="The unit of a sample; 1 for a number without a unit.")
    kind: Kind = Field(
        description="gauge: a level that moves; counter: it only grows, except for resets; "
        "state: a level that stays until something is changed."
    )
    valid_range: tuple[float, float | None] = Field(description="The least and the greatest sensible sample.")
    bad: Literal["high", "low", "both", "none"] = Field(description="Which direction means trouble.")
    cycle_s: int = Field(ge=1, le=600, description="The cycle that its windows have by default, in seconds.")
    watched: bool = Field(description="Whether anomaly detection watches it by default.")
    description: str = Field(min_length=1, description="What it means, in one line.")

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        least, greatest = self.valid_range
        if greatest is not None and least >= greatest:
            raise ValueError(f"{self.name}: valid_range must go upwards, got {least} to {greatest}")
        if self.watched and self.bad == "none":
            raise ValueError(f"{self.name}: a watched metric needs a bad direction")
        return self


class Catalogue(BaseModel):
    """All metrics, in the order of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: tuple[Metric, ...] = Field(description="The metrics.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self._by_source) != len(self.metrics):
            raise ValueError("a measurement and field may be there only once")
        if len({metric.name for metric in self.metrics}) != len(self.metrics):
            raise ValueError("a name may be there only once")
        cycles: dict[str, int] = {}
        for metric in self.metrics:
            if cycles.setdefault(metric.measurement, metric.cycle_s) != metric.cycle_s:
                raise ValueError(f"{metric.measurement}: its fields close in one window, so they have one cycle_s")
        for scope, promised in PROMISED.items():
            found = sum(metric.scope == scope for metric in self.metrics)
            if found != promised:
                raise ValueError(f"scope {scope} must have {promised} metrics, got {found}")
        return self

    @cached_property
    def _by_source(self) -> dict[tuple[str, str], Metric]:
        return {(metric.measurement, metric.field): metric for metric in self.metrics}

    @cached_property
    def counters(self) -> frozenset[tuple[str, str]]:
        """The (measurement, field) pairs that are cumulative counters."""
        return frozenset(source for source, metric in self._by_source.items() if metric.kind == "counter")

    def find(self, measurement: str, field: str) -> Metric | None:
        """Return the metric of a measurement and field; none where the catalogue does not know it."""
        return self._by_source.get((measurement, field))

    def kind_of(self, measurement: str, field: str) -> Kind:
        """Return the kind of a measurement's field: a gauge where the catalogue does not know it."""
        metric = self.find(measurement, field)
        return "gauge" if metric is None else metric.kind


@lru_cache(maxsize=1)
def load_catalogue() -> Catalogue:
    """Return the catalogue of this package, read once.

    Raises
    ------
    pydantic.ValidationError
        If the file breaks a rule: a fault of the package.
    """
    text = resources.files("schemas").joinpath("catalogue.yaml").read_bytes()
    # libyaml's loader is ten times as fast, and is not there in every build of PyYAML
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return Catalogue.model_validate({"metrics": yaml.load(text, Loader=loader)})  # noqa: S506  both are safe loaders

"""Action scenarios: what is done about an alert, by its level and step by step."""

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from schemas.selection import Part
from schemas.severity import LEVELS, LevelName
from schemas.trigger_policy import Duration, Id, Name

__all__ = ["Address", "Scenario", "ScenarioLevels", "Step"]

Address = Annotated[str, Field(pattern=r"^[\w.!#$%&'*+/=?^{|}~-]{1,64}@[\w-]+(\.[\w-]+)*$", max_length=320)]
"""Of e-mail."""
MOST_STEPS = 20
MOST_CHANNELS = 20


def _one_or_several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Channels = Annotated[tuple[Id, ...], BeforeValidator(_one_or_several), Field(max_length=MOST_CHANNELS)]


class Step(Part):
    """One thing that is done: somebody is notified, or a script is run."""

    after: Duration = Field(
        timedelta(0), description="How long the alert must have had this level, unacknowledged, before it is done."
    )
    notify: Channels = Field((), description="The channels that are notified: one id, or several.")
    run: Id | None = Field(None, description="The script that is run.")
    to: tuple[Address, ...] = Field(
        (), max_length=50, description="E-mail addresses instead of the channel's own; other channels ignore them."
    )

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        if bool(self.notify) == (self.run is not None):
            raise ValueError("needs either notify or run")
        if len(set(self.notify)) != len(self.notify):
            raise ValueError("notify: names a channel twice")
        if self.to and not self.notify:
            raise ValueError("to: only with notify")
        return self


Steps = Annotated[tuple[Step, ...], Field(max_length=MOST_STEPS)]


class ScenarioLevels(Part):
    """The steps of each level; nothing is done at a level that is left out."""

    info: Steps = Field((), description="Of alerts at level info.")
    warn: Steps = Field((), description="Of alerts at level warn.")
    critical: Steps = Field((), description="Of alerts at level critical.")

    def of(self, level: LevelName) -> tuple[Step, ...]:
        """Return the steps of a level."""
        steps: tuple[Step, ...] = getattr(self, level)
        return steps

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for level in LEVELS:
            times = [step.after for step in self.of(level)]
            if times != sorted(times):
                raise ValueError(f"{level}: the steps must stand in the order of their after")
        return self


class Scenario(Part):
    """One scenario: the value of ``policies`` under the key ``scenario/ID``.

    Steps stop when the alert is acknowledged or over. A change of level begins the steps of the new one.
    """

    kind: Literal["scenario"] = Field("scenario", description="Tells scenarios from other policies.")
    id: Id = Field(description="Unique among scenarios.")
    title: Name | None = Field(None, description="What it is for, for a reader.")
    levels: ScenarioLevels = Field(description="What is done at each level.")
    group_window: Duration = Field(
        timedelta(seconds=10),
        description="How long a first message of a resource waits for others of it, so that they go out as one.",
    )
    send_resolved: bool = Field(
        default=True,
        strict=True,
        description="Whether the channels that were notified of an alert are notified of its end.",
    )
    enabled: bool = Field(default=True, strict=True, description="Whether anything is done.")

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not any((self.levels.info, self.levels.warn, self.levels.critical)):
            raise ValueError("levels: at least one step at one of info, warn, critical is required")
        return self

"""Trigger policies: when an alert fires, at which level, and when it ends."""

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from schemas.durations import duration_ms, duration_text
from schemas.mistakes import PolicyError, model_of
from schemas.selection import Part, Target, Where, check_searches
from schemas.severity import LEVELS, LevelName

__all__ = [
    "Flap",
    "Levels",
    "PolicyError",
    "Thresholds",
    "TriggerPolicy",
    "trigger_policy",
]

Source = Literal["sample", "window", "silence", "anomaly"]
Function = Literal["min", "max", "avg", "last", "rate"]
Compare = Literal[">", ">=", "<", "<=", "==", "!="]

MOST_HISTORY = 64
"""Levels that flapping is judged by, at most: their changes are bits of one number."""


def _length(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        return timedelta(0) if value.strip() in {"0", "0s", "0ms"} else timedelta(milliseconds=duration_ms(value))
    if value == 0 and not isinstance(value, bool):
        return timedelta(0)
    raise ValueError("must be a duration: a number and ms, s, m, h or d, as in 5m; or 0")


def _length_text(length: timedelta) -> str:
    return duration_text(length // timedelta(milliseconds=1))


Duration = Annotated[
    timedelta,
    BeforeValidator(_length),
    PlainSerializer(_length_text, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["0s", "30s", "5m", "1.5h"]}),
]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_NONE = timedelta(0)
Name = Annotated[str, Field(min_length=1, max_length=200)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class Thresholds(Part):
    """Of one level."""

    fire: Number = Field(description="The level fires when the value compares so with this.")
    reset: Number | None = Field(
        None,
        description="The level ends when the value is on the other side of this (below it for > and >=, above it for < "
        "and <=); without it, when the value does not compare with fire any more.",
    )


class Levels(Part):
    """Any of the three; one that is left out does not exist."""

    info: Thresholds | None = Field(None, description="Worth knowing.")
    warn: Thresholds | None = Field(None, description="To be looked at.")
    critical: Thresholds | None = Field(None, description="To be looked at now.")

    def given(self) -> dict[LevelName, Thresholds]:
        """Return the levels that there are, from the least serious to the most."""
        found: dict[LevelName, Thresholds] = {}
        for name in LEVELS:
            thresholds = getattr(self, name)
            if thresholds is not None:
                found[name] = thresholds
        return found


class Flap(Part):
    """From when on nobody is notified of an alert that keeps changing its level."""

    history: int = Field(21, strict=True, ge=3, le=MOST_HISTORY, description="How many levels are looked at.")
    low: Number = Field(0.25, ge=0, le=1, description="Flapping ends below this share of (weighted) changes.")
    high: Number = Field(0.5, ge=0, le=1, description="Flapping begins above this share of (weighted) changes.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low must be at most high, got {self.low} and {self.high}")
        return self


class TriggerPolicy(Part):
    """One policy: the value of ``policies`` under the key ``trigger/ID``.

    It applies to each series that matches, on its own: one policy and one series are one alert with its own state.
    """

    kind: Literal["trigger"] = Field("trigger", description="Tells trigger policies from other policies.")
    id: Id = Field(description="Unique among trigger policies.")
    title: Name | None = Field(None, description="What it is for, for a reader.")
    where: Where = Field(Where(), description="Which series.")
    targets: tuple[Target, ...] = Field((), max_length=1000, description="Whose: one must match; none: everybody's.")
    on: Source = Field(
        "sample",
        description="What is compared. sample: each raw value when it arrives. window: a function of a closed window. "
        "silence: how long a series has sent nothing. anomaly: the score of an anomaly.",
    )
    function: Function | None = Field(
        None, description="Which of a window's values; avg without it. A sample has only its last."
    )
    compare: Compare = Field(">", description="How the value must compare with fire for a level to fire.")
    levels: Levels = Field(Levels(), description="Thresholds by level. Of silence only which level counts.")
    pending: Duration = Field(_NONE, description="How long it must hold (event time) to fire.")
    keep_firing: Duration = Field(_NONE, description="How long it stays after it has ended.")
    repeat: Duration = Field(_NONE, description="How often it is repeated; 0: changes only.")
    flap: Flap | None = Field(None, description="From when on nobody is notified because it keeps changing.")
    silence_after: Duration | None = Field(None, description="Of silence: how long a series must send nothing.")
    channels: tuple[Name, ...] = Field((), max_length=50, description="Which channels are notified.")
    scenario: Id | None = Field(
        None, description="The action scenario that decides who is notified, instead of channels."
    )
    enabled: bool = Field(default=True, strict=True, description="Whether it counts.")

    @model_validator(mode="before")
    @classmethod
    def _yaml_on(cls, document: Any) -> Any:
        """Undo what YAML 1.1 makes of the key ``on``: true."""
        if isinstance(document, dict) and True in document and "on" not in document:
            return {"on" if key is True else key: value for key, value in document.items()}
        return document

    @field_validator("on", mode="before")
    @classmethod
    def _is_produced(cls, source: Any) -> Any:
        if source == "forecast":
            raise ValueError("nothing produces forecasts yet; use sample, window, silence or anomaly")
        return source

    @model_validator(mode="after")
    def _complete(self) -> Self:
        check_searches(self.where, self.targets)
        if self.channels and self.scenario is not None:
            raise ValueError("channels and scenario exclude each other")
        if self.on == "silence":
            if not self.silence_after:
                raise ValueError("silence_after: is required with on: silence, as in 5m")
            return self
        if not self.levels.given():
            raise ValueError("levels: at least one of info, warn, critical is required")
        if self.on == "sample" and self.function not in {None, "last"}:
            raise ValueError(f"function: a sample has only its last value, got {self.function!r}; or set on: window")
        self._check_thresholds()
        return self

    def _check_thresholds(self) -> None:
        """Refuse thresholds that contradict each other."""
        if self.compare in {"==", "!="}:
            for name, level in self.levels.given().items():
                if level.reset is not None:
                    raise ValueError(f"levels.{name}.reset: there is none with compare {self.compare}")
            return
        sign, limit = (1, "at least") if self.compare in {">", ">="} else (-1, "at most")
        least: tuple[str, float] | None = None
        for name, level in self.levels.given().items():
            if level.reset is not None and sign * level.reset > sign * level.fire:
                beyond = "at most" if sign > 0 else "at least"
                raise ValueError(f"levels.{name}.reset: must be {beyond} fire ({level.fire}), got {level.reset}")
            if least is not None and sign * level.fire < sign * least[1]:
                raise ValueError(
                    f"levels.{name}.fire: must be {limit} that of {least[0]} ({least[1]}) with compare"
                    f" {self.compare}, got {level.fire}"
                )
            least = (name, level.fire)

    @property
    def severity(self) -> LevelName:
        """The level of a silence: the most serious that is given, critical if none is."""
        return next(reversed(self.levels.given()), "critical")

    @property
    def unused(self) -> tuple[str, ...]:
        """The keys that are set and play no part with this ``on``."""
        of_silence = {"compare", "pending", "keep_firing", "repeat", "flap", "function"}
        idle = of_silence if self.on == "silence" else {"silence_after"}
        if self.on == "anomaly":
            idle.add("function")
        defaults = TriggerPolicy.model_fields
        found = [name for name in idle if getattr(self, name) != defaults[name].default]
        return tuple(sorted(found))


def trigger_policy(document: Any) -> TriggerPolicy:
    """Return the policy that a decoded document describes.

    Raises
    ------
    PolicyError
        If it is none: with every mistake.
    """
    return model_of(TriggerPolicy, document)

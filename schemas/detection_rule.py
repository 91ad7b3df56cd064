"""Detection rules: which series are scored, by which detector, and from which score on they are anomalous."""

from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from schemas.anomaly import Function
from schemas.selection import Part, Target, Where, check_searches

__all__ = ["DetectionRule", "Levels", "Parameter", "Target", "Where"]

LEAST_INFO, LEAST_WARN = 1.5, 2.0
"""Scores below the first have no reason; below the second it is not known whether a series is too young for more."""

Parameter = bool | int | float


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError("must be a time zone of the IANA database, as Asia/Seoul") from error
    return name


ZoneName = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_known_zone)]


class Levels(Part):
    """From which scores on a value is reported at a level."""

    info: float = Field(1.5, ge=LEAST_INFO, le=100, description="From here info.")
    warn: float = Field(2.0, ge=LEAST_WARN, le=100, description="From here warn.")
    critical: float = Field(2.5, ge=LEAST_WARN, le=100, description="From here critical.")

    @model_validator(mode="after")
    def _upwards(self) -> Self:
        if not self.info <= self.warn <= self.critical:
            raise ValueError(f"must go upwards, got info {self.info}, warn {self.warn}, critical {self.critical}")
        return self


class DetectionRule(Part):
    """One rule: the value of ``policies`` under the key ``detection/ID``.

    Of several rules that match a series the first in the order of their ids counts; a rule that is not enabled does not
    match. Series that no rule matches are scored as the metric catalogue has it.
    """

    kind: Literal["detection"] = Field("detection", description="Tells detection rules from other policies.")
    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="Unique among detection rules.")
    title: str = Field(min_length=1, max_length=200, description="What it is for, for a reader.")
    where: Where = Field(Where(), description="Which series.")
    targets: tuple[Target, ...] = Field((), max_length=1000, description="Whose: one must match; none: everybody's.")
    function: Function | None = Field(
        None, description="Which of a window's values is scored; none: the rate of counters, else the average."
    )
    detector: str = Field(
        "bank", min_length=1, max_length=100, description="bank, none (not scored), or one of river's by its name."
    )
    parameters: dict[str, Parameter] = Field(default={}, max_length=20, description="Of a detector of river's.")
    levels: Levels = Field(Levels(), description="From which scores on it is reported.")
    zone: ZoneName | None = Field(None, description="Time zone of the series; none: as the settings have it.")
    enabled: bool = Field(default=True, description="Whether it counts.")

    @model_validator(mode="after")
    def _cheap(self) -> Self:
        check_searches(self.where, self.targets)
        return self

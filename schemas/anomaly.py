"""What detection writes: the value of ``anomalies``."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.records import Finite, Offset, Record
from schemas.severity import LevelName

Function = Literal["avg", "min", "max", "last", "first", "sum", "count", "increase", "rate"]
State = Literal["began", "grew", "ended"]


class AnomalyReason(StrEnum):
    """Why a value, or a resource, is anomalous."""

    SPIKE = "SPIKE"
    """Above what was expected."""
    DIP = "DIP"
    """Below what was expected."""
    LEVEL_SHIFT = "LEVEL_SHIFT"
    """The mean of the latest values has moved away from what is usual at this hour."""
    UNUSUAL_FOR_THIS_HOUR = "UNUSUAL_FOR_THIS_HOUR"
    """A value that this hour of the day has not had."""
    NEVER_SEEN_PATTERN = "NEVER_SEEN_PATTERN"
    """A value that never followed those before it."""
    FLAT_LINE = "FLAT_LINE"
    """The value stands still for longer than it ever has."""
    MANY_SERIES = "MANY_SERIES"
    """Host only: several of its series are anomalous together."""
    INCIDENT_OVER = "INCIDENT_OVER"
    """Host only: none of its series is anomalous any more."""


class AnomalousSeries(BaseModel):
    """One of the series that make a host's incident."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    measurement: str = Field(min_length=1, description="The measurement.")
    field: str = Field(min_length=1, description="The field.")
    tags: dict[str, str] = Field(description="The tags that identify the series.")
    score: Finite = Field(ge=0, description="Its greatest score in the incident.")
    level: LevelName = Field(description="The level of that score.")
    reason: Annotated[AnomalyReason, Field(strict=False)] = Field(description="Why it was reported.")
    text: str = Field(min_length=1, description="Why it was reported, for a reader.")


class Anomaly(Record):
    """The score of a window's value, or one change of a host's incident: the value of ``anomalies``.

    The same window always leads to the same record; of two records with equal kind, measurement, field, tags and
    ``start_ms`` (and of a host ``state``) one is a repetition.
    """

    kind: Literal["anomaly", "sample", "host"] = Field(
        description="anomaly: a value was unusual. sample: the score of a value now and then, unusual or not. "
        "host: an incident of several series of one resource began, grew or ended."
    )
    measurement: Annotated[str, Field(min_length=1)] | None = Field(description="The measurement; null for a host.")
    field: Annotated[str, Field(min_length=1)] | None = Field(description="The field; null for a host.")
    function: Function | None = Field(description="Which of the window's values was scored; null for a host.")
    tags: dict[str, str] = Field(description="The tags of the series; of a host those that say which it is and where.")
    start_ms: int = Field(description="Start of the window, inclusive: milliseconds since 1970-01-01T00:00:00Z.")
    end_ms: int = Field(description="End of the window, exclusive: milliseconds since 1970-01-01T00:00:00Z.")
    value: Finite | None = Field(description="The value that was scored, in the field's unit; null for a host.")
    score: Finite = Field(
        ge=0, description="The anomaly score, on one scale for all series; 0 where nothing is reported."
    )
    level: LevelName | None = Field(description="How serious; null where it is not: a sample, or an incident's end.")
    reason: Annotated[AnomalyReason, Field(strict=False)] | None = Field(description="Why; null for a sample.")
    text: Annotated[str, Field(min_length=1)] | None = Field(description="Why, for a reader; null for a sample.")
    expected_low: Finite | None = Field(description="Least value that was expected; null while that is unknown.")
    expected_high: Finite | None = Field(description="Greatest value that was expected; null while that is unknown.")
    partition: int = Field(ge=0, description="The partition of metrics.agg that the window came from.")
    offset: Offset = Field(description="The offset of the window's record; of a host that of the last one.")
    state: State | None = Field(None, description="Host only: what became of the incident.")
    incident_start_ms: int | None = Field(None, description="Host only: start of the window that it began with.")
    rate: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="Host only: share of the watched series that are anomalous together."
    )
    series_count: Annotated[int, Field(ge=0)] | None = Field(None, description="Host only: how many are watched.")
    series: tuple[AnomalousSeries, ...] | None = Field(
        None, strict=False, max_length=100, description="Host only: the most anomalous ones, the highest scores first."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.end_ms <= self.start_ms:
            raise ValueError(f"end_ms {self.end_ms} must be above start_ms {self.start_ms}")
        if (self.reason is None) != (self.text is None):
            raise ValueError(f"a reason and its text go together, got {self.reason} and {self.text!r}")
        of_host = (self.state, self.incident_start_ms, self.rate, self.series_count, self.series)
        of_series = (self.measurement, self.field, self.function, self.value)
        present, absent = (of_host, of_series) if self.kind == "host" else (of_series, of_host)
        if any(each is None for each in present) or any(each is not None for each in absent):
            raise ValueError(f"the fields of a series and of a host exclude each other, kind is {self.kind}")
        return self

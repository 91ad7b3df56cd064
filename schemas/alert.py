"""What the stage trigger writes: the value of ``alerts``."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.records import Finite, Offset, Record
from schemas.severity import LevelName

__all__ = ["AlertEvent", "AlertReason", "AlertState", "Evidence"]


class AlertState(StrEnum):
    """What an alert is."""

    OK = "OK"
    """Nothing is wrong."""
    PENDING = "PENDING"
    """Its condition holds, not yet for as long as it must."""
    FIRING = "FIRING"
    """It holds."""
    RECOVERING = "RECOVERING"
    """It has ended, and the alert stays for as long as it shall keep firing."""
    NODATA = "NODATA"
    """The series has sent nothing for too long."""
    FLAPPING = "FLAPPING"
    """Its level keeps changing, and nobody is notified of a change."""

    @classmethod
    def _missing_(cls, value: object) -> "AlertState | None":
        return cls.FLAPPING if value == "SUPPRESSED" else None  # as it was written before 0.1.0


class AlertReason(StrEnum):
    """Why an alert's state changed, or it is repeated."""

    PENDING = "PENDING"
    """The condition began to hold."""
    PENDING_ENDED = "PENDING_ENDED"
    """It ended before it had held for long enough."""
    FIRST_BREACH = "FIRST_BREACH"
    """It fires."""
    LEVEL_UP = "LEVEL_UP"
    """It is more serious than it was."""
    LEVEL_DOWN = "LEVEL_DOWN"
    """It is less serious than it was, and not over."""
    REPEAT_DUE = "REPEAT_DUE"
    """It lasts, and it is time to notify again."""
    RECOVERING = "RECOVERING"
    """The condition has ended; the alert is kept for a while."""
    STILL_FIRING = "STILL_FIRING"
    """The condition came back while the alert was kept."""
    RECOVERED = "RECOVERED"
    """It is over."""
    WENT_SILENT = "WENT_SILENT"
    """The series has sent nothing for the policy's time."""
    CAME_BACK = "CAME_BACK"
    """A silent series sends again."""
    FLAPPING = "FLAPPING"
    """The level keeps changing: nobody is notified of a change until it is calm."""
    FLAPPING_ENDED = "FLAPPING_ENDED"
    """It is calm again."""
    POLICY_CHANGED = "POLICY_CHANGED"
    """The policy does not match the series any more, or compares something else."""
    POLICY_DISABLED = "POLICY_DISABLED"
    """The policy was disabled."""
    POLICY_DELETED = "POLICY_DELETED"
    """The policy was deleted."""


class Evidence(BaseModel):
    """The sample that a decision rests on: for silence the last one."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    time_ms: int = Field(description="Its event time, of a window its end: milliseconds since 1970-01-01T00:00:00Z.")
    start_ms: int | None = Field(None, description="Of a window its start; null for a sample.")
    partition: int | None = Field(None, ge=0, description="The partition of its record; null for a file.")
    offset: Offset = Field(description="The offset of its record; of a file the number of the row or metric, from 0.")


class AlertEvent(Record):
    """One state change of one alert, or one repetition.

    An alert is one policy and one series. Its events are numbered without gaps from 1, so that what is missing shows;
    the same samples lead to the same events with the same ids, whenever they are read.
    """

    id: str = Field(min_length=1, description="Identifies the event: equal ids are the same event written again.")
    alert_id: str = Field(min_length=1, description="Identifies the alert: the policy and the series.")
    sequence: int = Field(ge=1, description="The event's number among those of the alert.")
    policy: str = Field(min_length=1, description="The policy's id.")
    policy_hash: str = Field(min_length=1, description="Tells the versions of a policy apart.")
    measurement: str = Field(min_length=1, description="The measurement of the series.")
    field: str = Field(min_length=1, description="The field of the series.")
    tags: dict[str, str] = Field(description="The tags that identify the series.")
    resource: str = Field(min_length=1, description="Whose the series is: the record's key.")
    state: Annotated[AlertState, Field(strict=False)] = Field(description="What the alert is now.")
    previous_state: Annotated[AlertState, Field(strict=False)] = Field(description="What it was.")
    level: LevelName | None = Field(description="How serious it is now; null for OK.")
    previous_level: LevelName | None = Field(description="The level that was notified last; null for OK.")
    reason: Annotated[AlertReason, Field(strict=False)] = Field(description="Why.")
    notify: bool = Field(description="Whether anybody is to be notified: a level that changed, a repetition, silence.")
    time_ms: int = Field(description="When it was so, in event time: milliseconds since 1970-01-01T00:00:00Z.")
    value: Finite | None = Field(description="The value that was compared; of silence its seconds. Null for none.")
    threshold: Finite | None = Field(
        description="What decided: fire of the level it rose to, or reset of the one it left; of silence its seconds."
    )
    repeat: int = Field(ge=0, description="How often it was repeated at this level; 0 for a change.")
    evidence: Evidence | None = Field(description="The sample behind it; null where there was none.")
    text: str = Field(min_length=1, description="The same for a reader.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        has_no_level = self.state in {AlertState.OK, AlertState.PENDING}
        if (self.level is None) != has_no_level and self.state is not AlertState.FLAPPING:
            raise ValueError(f"state {self.state} and level {self.level} contradict each other")
        return self

    def key(self) -> str:
        """Return the record's Kafka key: the resource."""
        return self.resource

"""What the stage act writes: the value of ``actions``."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.records import Record
from schemas.severity import LevelName

__all__ = ["Action", "ActionReason", "AlertReference", "Outcome"]

LONGEST_MESSAGE = 2000
LONGEST_OUTPUT = 8192
MOST_ALERTS = 100


class Outcome(StrEnum):
    """What came of an attempt."""

    SENT = "sent"
    """The channel's server took the message."""
    RAN = "ran"
    """The script ended with status 0."""
    FAILED = "failed"
    """It did not work; the reason says why, and ``retry`` whether it is tried again."""
    DRY_RUN = "dry_run"
    """The script would have been run."""
    SUPPRESSED = "suppressed"
    """A silence, maintenance, an inhibition or an acknowledgement keeps it from being done."""
    SKIPPED = "skipped"
    """It is not done for another reason: it is disabled, the alert flaps, or was over before it began."""
    RATE_LIMITED = "rate_limited"
    """The script was not run: a guard stopped it."""
    AWAITING_APPROVAL = "awaiting_approval"
    """The script waits for somebody to approve."""
    DENIED = "denied"
    """Somebody decided that the script is not run, or nobody decided in time."""


class ActionReason(StrEnum):
    """Why something was done, was not done, or did not work."""

    DUE = "DUE"
    """The step's time had come."""
    REPEATED = "REPEATED"
    """The alert lasts, and is sent again."""
    RECOVERED = "RECOVERED"
    """The alert is over, and those who were notified of it are notified of that."""
    SILENCED = "SILENCED"
    """A silence matches."""
    MAINTENANCE = "MAINTENANCE"
    """A maintenance window matches."""
    INHIBITED = "INHIBITED"
    """Another alert that fires inhibits this one."""
    ACKNOWLEDGED = "ACKNOWLEDGED"
    """Somebody looks after it."""
    FLAPPING = "FLAPPING"
    """The alert keeps changing."""
    DISABLED = "DISABLED"
    """The channel, script or scenario is disabled."""
    UNKNOWN = "UNKNOWN"
    """There is no channel, script or scenario of that id."""
    SUPERSEDED = "SUPERSEDED"
    """The alert was over, or had another level, before it could be done."""
    RATE = "RATE"
    """The script was run as often as it may be."""
    BLAST_RADIUS = "BLAST_RADIUS"
    """The script was run for as many resources as it may be."""
    APPROVAL = "APPROVAL"
    """An approval is needed, was refused, or was not given in time."""
    CONFIGURATION = "CONFIGURATION"
    """A secret, a file or a setting is missing or wrong."""
    CONNECTION = "CONNECTION"
    """The server was not reached, or broke off."""
    TIMEOUT = "TIMEOUT"
    """It took longer than it may."""
    UNAVAILABLE = "UNAVAILABLE"
    """The server said that it cannot now (HTTP 5xx, SMTP 4xx)."""
    THROTTLED = "THROTTLED"
    """The server said that it gets too much (HTTP 429)."""
    AUTHENTICATION = "AUTHENTICATION"
    """The server did not accept who we are (HTTP 401 and 403, SMTP 535)."""
    REJECTED = "REJECTED"
    """The server refused the message for good."""
    EXIT_STATUS = "EXIT_STATUS"
    """The script ended with another status than 0, or by a signal."""


class AlertReference(BaseModel):
    """An alert that the action was about."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    alert_id: str = Field(min_length=1, description="The alert.")
    event_id: str = Field(min_length=1, description="The event of it that the action was about.")
    policy: str = Field(min_length=1, description="The trigger policy.")
    level: LevelName | None = Field(description="The alert's level; null for one that is over.")


class Action(Record):
    """One attempt of one step, or why there was none.

    Of two records with equal ``key`` and ``attempt`` one is a repetition: the attempt may have been made twice.
    """

    key: str = Field(
        min_length=1, description="Identifies what was to be done: equal for all attempts, and sent along."
    )
    attempt: int = Field(ge=0, description="Which attempt it was, from 1; 0 where nothing was tried.")
    resource: str = Field(min_length=1, description="Whose alerts they are: the record's key on the topic.")
    ns_id: str | None = Field(description="The resource's namespace; null without one.")
    alerts: tuple[AlertReference, ...] = Field(
        strict=False, min_length=1, max_length=MOST_ALERTS, description="The alerts that it was about."
    )
    scenario: str | None = Field(description="The scenario; null where the policy names channels itself.")
    level: LevelName | None = Field(description="The level whose step it was; null for an end that is sent.")
    step: int | None = Field(ge=0, description="The step's number at that level, from 0; null for an end that is sent.")
    channel: str | None = Field(description="The channel; null for a script.")
    script: str | None = Field(description="The script; null for a channel.")
    outcome: Annotated[Outcome, Field(strict=False)] = Field(description="What came of it.")
    reason: Annotated[ActionReason, Field(strict=False)] = Field(description="Why.")
    retry: bool = Field(description="Whether it will be tried again.")
    time_ms: int = Field(description="When it was, by the clock: milliseconds since 1970-01-01T00:00:00Z.")
    duration_ms: int = Field(ge=0, description="How long the attempt took.")
    message: str = Field(max_length=LONGEST_MESSAGE, description="The same for a reader; no secret in it.")
    output: str | None = Field(None, max_length=LONGEST_OUTPUT, description="Script only: the end of what it wrote.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.channel is not None and self.script is not None:
            raise ValueError("channel and script exclude each other")
        if self.retry and self.outcome is not Outcome.FAILED:
            raise ValueError(f"retry is for failures, the outcome is {self.outcome}")
        return self

"""When nobody is notified although an alert fires: silences, maintenance, inhibition, and acknowledgements."""

from datetime import timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from schemas.selection import Glob, Part, Target, Where, check_searches
from schemas.severity import LevelName
from schemas.trigger_policy import Duration, Id, Name

__all__ = ["Acknowledgement", "AlertMatcher", "Inhibition", "Maintenance", "Silence", "Weekday"]

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Comment = Annotated[str, Field(max_length=2000)]
LONGEST_MAINTENANCE = timedelta(days=7)


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError("must be a time zone of the IANA database, as Asia/Seoul") from error
    return name


ZoneName = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_known_zone)]


def _ms(moment: AwareDatetime) -> int:
    return round(moment.timestamp() * 1000)


class AlertMatcher(Part):
    """Which alerts: all that is given must match."""

    policies: tuple[Glob, ...] = Field(
        (), max_length=1000, description="Globs of trigger policies' ids: one must match; none: all."
    )
    levels: tuple[LevelName, ...] = Field((), max_length=3, description="The alert's levels; none: all.")
    where: Where = Field(Where(), description="Which series.")
    targets: tuple[Target, ...] = Field((), max_length=1000, description="Whose: one must match; none: everybody's.")

    @model_validator(mode="after")
    def _cheap(self) -> Self:
        check_searches(self.where, self.targets, self.policies)
        return self


class Silence(Part):
    """One silence: the value of ``policies`` under the key ``silence/ID``."""

    kind: Literal["silence"] = Field("silence", description="Tells silences from other policies.")
    id: Id = Field(description="Unique among silences.")
    alerts: AlertMatcher = Field(description="Which alerts are silenced.")
    starts: AwareDatetime = Field(description="From when on (with its offset from UTC).")
    ends: AwareDatetime = Field(description="Until when, exclusive.")
    author: Name | None = Field(None, description="Who set it.")
    comment: Comment = Field("", description="Why.")

    @property
    def starts_ms(self) -> int:
        """Its start: milliseconds since 1970-01-01T00:00:00Z."""
        return _ms(self.starts)

    @property
    def ends_ms(self) -> int:
        """Its end, exclusive: milliseconds since 1970-01-01T00:00:00Z."""
        return _ms(self.ends)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.ends <= self.starts:
            raise ValueError(f"ends: must be after starts ({self.starts.isoformat()}), got {self.ends.isoformat()}")
        return self


class Maintenance(Part):
    """A window that comes again: the value of ``policies`` under the key ``maintenance/ID``.

    It begins at ``start`` of each of its days by the clock of its zone, and lasts ``duration``, over midnight too.
    """

    kind: Literal["maintenance"] = Field("maintenance", description="Tells maintenance from other policies.")
    id: Id = Field(description="Unique among maintenance windows.")
    title: Name | None = Field(None, description="What it is for, for a reader.")
    alerts: AlertMatcher = Field(description="Which alerts are in maintenance.")
    days: tuple[Weekday, ...] = Field((), max_length=7, description="The days that it begins on; none: every day.")
    start: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] = Field(
        description="When it begins, as 22:30."
    )
    duration: Duration = Field(description="How long it lasts, at most 7d.")
    zone: ZoneName = Field("UTC", description="Time zone of days and start.")
    first: AwareDatetime | None = Field(None, description="No window begins before; none: always.")
    last: AwareDatetime | None = Field(None, description="No window begins from then on; none: always.")
    enabled: bool = Field(default=True, strict=True, description="Whether it counts.")

    @property
    def start_minute(self) -> int:
        """When it begins, in minutes since midnight."""
        return 60 * int(self.start[:2]) + int(self.start[3:])

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if not timedelta(0) < self.duration <= LONGEST_MAINTENANCE:
            raise ValueError("duration: must be above 0 and at most 7d")
        if self.first is not None and self.last is not None and self.last <= self.first:
            raise ValueError("last: must be after first")
        return self


class Inhibition(Part):
    """While one alert fires nobody is notified of others: the value of ``policies`` under the key ``inhibition/ID``."""

    kind: Literal["inhibition"] = Field("inhibition", description="Tells inhibitions from other policies.")
    id: Id = Field(description="Unique among inhibitions.")
    title: Name | None = Field(None, description="What it is for, for a reader.")
    source: AlertMatcher = Field(description="Which firing alerts inhibit others.")
    targets: AlertMatcher = Field(description="Which alerts are inhibited.")
    equal: tuple[Name, ...] = Field(
        (),
        max_length=50,
        description="Tags that must be equal on both; a tag that both lack is equal. None: any two alerts.",
    )
    enabled: bool = Field(default=True, strict=True, description="Whether it counts.")

    @model_validator(mode="after")
    def _names_policies(self) -> Self:
        if not self.source.policies or not self.targets.policies:
            raise ValueError("source.policies and targets.policies: both are required")
        return self


class Acknowledgement(Part):
    """Somebody looks after an alert: the value of ``policies`` under the key ``acknowledgement/ID``.

    It counts until the alert is over: one that fires again later is not acknowledged.
    """

    kind: Literal["acknowledgement"] = Field("acknowledgement", description="Tells them from other policies.")
    id: Id = Field(description="The alert's id (alert_id of its events).")
    sequence: int = Field(strict=True, ge=1, description="The number of the alert's newest event that was seen.")
    time: AwareDatetime = Field(description="When it was acknowledged.")
    author: Name | None = Field(None, description="Who looks after it.")
    comment: Comment = Field("", description="What was said.")

    @property
    def time_ms(self) -> int:
        """When it was acknowledged: milliseconds since 1970-01-01T00:00:00Z."""
        return _ms(self.time)

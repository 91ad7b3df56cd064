"""The settings of windows: their size, their grace, and rules for groups that want others."""

from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

from pipeline.settings.base import Duration, PositiveDuration, Section, to_ms

SHORTEST_CYCLE_MS = 100
LONGEST_CYCLE_MS = 600_000


_RENAMED = {"correction_s": "allowed_lateness_s"}


class WindowTiming(NamedTuple):
    """The integer times that one group's windows follow."""

    every_ms: int
    grace_ms: int
    allowed_lateness_ms: int


def _cycle(seconds: float) -> float:
    if not SHORTEST_CYCLE_MS <= to_ms(seconds) <= LONGEST_CYCLE_MS:
        raise ValueError(
            f"must be {SHORTEST_CYCLE_MS / 1000} to {LONGEST_CYCLE_MS // 1000} s; "
            "longer cycles are rolled up from metrics.agg"
        )
    return seconds


Cycle = Annotated[PositiveDuration, AfterValidator(_cycle)]


class WindowRuleSettings(Section):
    """Other times for the groups that a rule matches."""

    renamed = _RENAMED

    measurement: str = Field(
        "*", min_length=1, max_length=500, title="Measurement", description="Glob that the measurement must match."
    )
    tags: dict[str, str] = Field(
        default={}, title="Tags", description="Globs that these tags must match; a missing tag matches nothing."
    )
    every_s: Cycle = Field(title="Cycle", description="Size of a window in seconds.")
    grace_s: Duration | None = Field(
        None, le=3600, title="Grace", description="Seconds to wait for late samples; none: as windows.grace_s."
    )
    allowed_lateness_s: Duration | None = Field(
        None,
        le=86_400,
        title="Allowed lateness",
        description="Seconds a closed window takes late samples; none: one window.",
    )


class WindowsSettings(Section):
    """Size and closing of windows."""

    key = "windows"
    title = "Windows"
    renamed = _RENAMED

    every_s: Cycle = Field(60.0, title="Cycle", description="Size of a window in seconds.")
    grace_s: Duration = Field(
        10.0, le=3600, title="Grace", description="Seconds of event time a window waits for late samples."
    )
    allowed_lateness_s: Duration | None = Field(
        None,
        le=86_400,
        title="Allowed lateness",
        description="Seconds a closed window takes late samples; none: one window.",
    )
    idle_close_s: PositiveDuration | None = Field(
        None, le=86_400, title="Idle close", description="Seconds of silence until the clock may close; none: grace."
    )
    rules: tuple[WindowRuleSettings, ...] = Field(
        (), max_length=1000, title="Rules", description="Other times for some groups; the first that matches is taken."
    )
    dead_letter_late: bool = Field(
        default=False,
        title="Dead-dead letter late",
        description="Whether samples behind the allowed lateness are kept there.",
    )

    @property
    def every_ms(self) -> int:
        """The cycle in milliseconds."""
        return to_ms(self.every_s)

    @property
    def grace_ms(self) -> int:
        """The grace in milliseconds."""
        return to_ms(self.grace_s)

    @property
    def allowed_lateness_ms(self) -> int:
        """The allowed lateness in milliseconds: one window, unless it is set."""
        return self.every_ms if self.allowed_lateness_s is None else to_ms(self.allowed_lateness_s)

    @property
    def idle_close_ms(self) -> int:
        """The idle time in milliseconds: the grace, unless it is set."""
        return self.grace_ms if self.idle_close_s is None else to_ms(self.idle_close_s)

    def timing_of(self, rule: WindowRuleSettings) -> WindowTiming:
        """Return the times of a rule, with what it leaves open filled in."""
        every_ms = to_ms(rule.every_s)
        return WindowTiming(
            every_ms=every_ms,
            grace_ms=self.grace_ms if rule.grace_s is None else to_ms(rule.grace_s),
            allowed_lateness_ms=every_ms if rule.allowed_lateness_s is None else to_ms(rule.allowed_lateness_s),
        )

"""The settings of triggers."""

from pydantic import Field

from pipeline.settings.base import PositiveDuration, Section, to_ms


class TriggerSettings(Section):
    """How triggers are evaluated; what fires is for trigger policies to say."""

    key = "trigger"
    title = "Triggers"

    expire_after_s: PositiveDuration = Field(
        604_800.0,
        ge=60,
        le=366 * 86_400,
        title="Expire after",
        description="Seconds after which a silent series is forgotten, if none of its alerts is open.",
    )

    @property
    def expire_after_ms(self) -> int:
        """The time of expiry in milliseconds."""
        return to_ms(self.expire_after_s)

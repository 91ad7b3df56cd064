"""The settings of detection."""

from pydantic import Field

from pipeline.settings.base import Duration, PositiveDuration, Section, to_ms
from schemas.detection_rule import ZoneName


class DetectSettings(Section):
    """How windows are scored; which ones is for the metric catalogue and detection rules to say."""

    key = "detect"
    title = "Detection"

    sample_interval_s: Duration = Field(
        3600.0,
        le=7 * 86_400,
        title="Sample interval",
        description="Seconds of event time between two samples of a series' score; 0: none are written.",
    )
    expire_after_s: PositiveDuration = Field(
        604_800.0,
        ge=60,
        le=366 * 86_400,
        title="Expire after",
        description="Seconds of event time after which a silent series is forgotten.",
    )
    max_river_series: int = Field(
        200, ge=0, le=100_000, title="River's series", description="Series of a partition with a detector of river's."
    )
    zone: ZoneName = Field("UTC", title="Time zone", description="Whose hours and weekends series have.")
    zones: dict[str, ZoneName] = Field(
        default={},
        max_length=1000,
        title="Time zones",
        description="Others, by globs of the tag region; the first counts.",
    )
    host_share: float = Field(
        0.2,
        gt=0,
        le=1,
        title="Share of an incident",
        description="Share of a resource's series that are anomalous together in an incident.",
    )
    host_series: int = Field(3, ge=1, le=1000, title="Series of an incident", description="So many of them at least.")
    host_together_s: PositiveDuration = Field(
        900.0,
        le=86_400,
        title="Together",
        description="Seconds that a series counts as anomalous after it was reported.",
    )

    @property
    def sample_interval_ms(self) -> int:
        """The sample interval in milliseconds."""
        return to_ms(self.sample_interval_s)

    @property
    def expire_after_ms(self) -> int:
        """The time of expiry in milliseconds."""
        return to_ms(self.expire_after_s)

    @property
    def host_together_ms(self) -> int:
        """How long a series counts as anomalous, in milliseconds."""
        return to_ms(self.host_together_s)

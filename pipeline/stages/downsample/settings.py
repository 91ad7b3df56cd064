"""The settings of down-sampling: how much is kept, how chunks are cut, and when silent series end."""

from typing import Self

from pydantic import Field, model_validator

from pipeline.settings.base import Duration, PositiveDuration, Section


class DownsampleSettings(Section):
    """The compressed history of all series."""

    key = "downsample"
    title = "Down-sampling"
    renamed = {"correction_s": "allowed_lateness_s"}  # noqa: RUF012  a ClassVar of the base

    ratio: float = Field(
        0.1, gt=0, le=1, title="Ratio", description="Points kept for each sample, in the long run and over the fleet."
    )
    chunk_s: PositiveDuration = Field(
        3600.0, ge=1, le=86_400, title="Chunk", description="Seconds of event time that a chunk covers, at most."
    )
    chunk_points: int = Field(
        360,
        ge=8,
        le=4096,
        title="Chunk points",
        description="The most samples of a chunk; a series takes 19 bytes of memory for each.",
    )
    grace_s: Duration = Field(
        10.0, le=3600, title="Grace", description="Seconds of event time a series waits for samples out of order."
    )
    allowed_lateness_s: Duration = Field(
        60.0, le=86_400, title="Allowed lateness", description="Seconds after its end that a chunk takes late samples."
    )
    idle_close_s: PositiveDuration = Field(
        7200.0, title="Idle close", description="Seconds without a sample after which an open chunk ends by the clock."
    )
    expire_after_s: PositiveDuration = Field(
        604_800.0, title="Expiry", description="Seconds without a sample after which a series is forgotten."
    )
    snapshot_interval_s: PositiveDuration = Field(
        300.0, ge=0.1, title="Snapshots", description="Seconds between two snapshots of a partition's open chunks."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.expire_after_s <= self.idle_close_s:
            raise ValueError(f"expire_after_s must be above idle_close_s ({self.idle_close_s:g})")
        return self

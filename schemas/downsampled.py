"""The record of down-sampled history, as a model: the kept points of one chunk of one series."""

from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.records import Finite, Offset, Record

SeriesKind = Literal["auto", "gauge", "counter", "state"]
SeriesClass = Literal["counter", "step", "noisy", "spiky", "smooth"]
Encoder = Literal["held", "levels", "lines", "refitted_lines", "increases"]
Interp = Literal["l", "s"]


Points = tuple[tuple[int, Finite, Interp], ...]


class DownsampledChunk(Record):
    """The kept points of one chunk of one series: the value of ``metrics.downsampled``.

    Its identity is measurement, tags, field and ``start_ms``: of two records that share it, the one of the greater
    revision replaces the other with all its points.
    """

    measurement: str = Field(min_length=1, description="The measurement, as the agent names it.")
    field: str = Field(min_length=1, description="The field.")
    tags: dict[str, str] = Field(description="The tags that identify the series, identity tags in canonical form.")
    partition: int = Field(ge=0, description="The partition of metrics.raw that the chunk was made from.")
    start_ms: int = Field(description="Start of the chunk, inclusive: milliseconds since 1970-01-01T00:00:00Z.")
    end_ms: int = Field(description="End of the chunk, exclusive: milliseconds since 1970-01-01T00:00:00Z.")
    first_ms: int = Field(description="Time of the first sample.")
    last_ms: int = Field(description="Time of the last sample; the last point holds until then.")
    gap: bool = Field(description="Whether samples are missing before the chunk: nothing may be drawn over that.")
    kind: SeriesKind = Field(description="What the metric catalogue says of the field; auto where it does not know it.")
    series_class: SeriesClass = Field(description="What the samples are like.")
    encoder: Encoder = Field(description="How the points were chosen.")
    n_raw: int = Field(ge=1, description="How many samples there were.")
    n_kept: int = Field(ge=1, description="How many points are kept.")
    sigma: Finite = Field(ge=0, description="Root mean square of decoded minus raw, in the field's unit.")
    max_error: Finite = Field(ge=0, description="The greatest absolute difference of decoded and raw.")
    min: Finite = Field(description="The least sample, exactly.")
    max: Finite = Field(description="The greatest sample, exactly.")
    sum: Finite = Field(description="The sum of the samples.")
    count: int = Field(ge=1, description="How many samples the sum is of: sum / count is the true mean.")
    first_offset: Offset = Field(description="No sample of the chunk came before this offset.")
    last_offset: Offset = Field(description="No sample of the chunk came behind this offset.")
    revision: Offset = Field(description="Of records of the same chunk the one with the greater revision is right.")
    points: Points = Field(
        min_length=1,
        description="The kept points, [time_ms, value, interp], times strictly increasing. interp says how a point is "
        "reached from the one before, also from the chunk before: l along a straight line, s by a step at its time.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.start_ms <= self.first_ms <= self.last_ms < self.end_ms:
            raise ValueError(
                f"samples from {self.first_ms} to {self.last_ms} must be within [{self.start_ms}, {self.end_ms})"
            )
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        if len(self.points) != self.n_kept:
            raise ValueError(f"n_kept is {self.n_kept}, and there are {len(self.points)} points")
        if self.first_offset > self.last_offset:
            raise ValueError(f"first_offset {self.first_offset} is above last_offset {self.last_offset}")
        times = [point[0] for point in self.points]
        if any(later <= earlier for earlier, later in pairwise(times)):
            raise ValueError("the points' times must strictly increase")
        if times[0] < self.first_ms or times[-1] > self.last_ms:
            raise ValueError(f"points must be within {self.first_ms} to {self.last_ms}")
        return self

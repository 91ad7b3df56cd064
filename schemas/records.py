"""The records that Cinnamon writes to Kafka, as models; their JSON Schema lies in ``schemas/json/``."""

import base64
import binascii
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema, model_validator

from schemas.reasons import DeadLetterReason

SCHEMA_VERSION: Final = 1
"""The version that records are written in; it grows when a reader of the one before would go wrong."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
Offset = Annotated[int, Field(ge=0)]


class Record(BaseModel):
    """A record of a topic: frozen, and nothing in it that its model does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_version: Literal[1] = Field(
        SCHEMA_VERSION, description="Version of the record's form, always first; a record without it is of version 1."
    )

    def to_json(self) -> bytes:
        """Return the record as one line of JSON in UTF-8."""
        return self.model_dump_json().encode()


class FieldValues(BaseModel):
    """What the samples of one field came to in one window."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    min: Finite = Field(description="The least sample, in the field's unit.")
    max: Finite = Field(description="The greatest sample, in the field's unit.")
    avg: Finite = Field(description="sum / count, in the field's unit.")
    last: Finite = Field(description="The sample latest by event time, in the field's unit; at equal time the newer.")
    first: Finite = Field(description="The sample earliest by event time, in the field's unit.")
    sum: Finite = Field(description="The sum of the samples, in the field's unit.")
    count: int = Field(ge=1, description="How many samples there were.")
    increase: Finite | None = Field(
        None, ge=0, description="Counters only: growth in the field's unit, resets taken out. Absent where unknown."
    )
    rate: Finite | None = Field(
        None, ge=0, description="Counters only: growth in the field's unit per second. Absent where unknown."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class AggregatedWindow(Record):
    """One closed window of one measurement and tag set: the value of ``metrics.agg``."""

    measurement: str = Field(min_length=1, description="The measurement, as the agent names it.")
    tags: dict[str, str] = Field(description="The tags that identify the series, identity tags in canonical form.")
    start_ms: int = Field(description="Start of the window, inclusive: milliseconds since 1970-01-01T00:00:00Z.")
    end_ms: int = Field(description="End of the window, exclusive: milliseconds since 1970-01-01T00:00:00Z.")
    revision: Offset = Field(
        description="Offset of the newest input record that the window depends on; the greater one is right."
    )
    fields: dict[str, FieldValues] = Field(min_length=1, description="The fields' functions, by field.")
    partition: int = Field(ge=0, description="The partition of metrics.raw that the window was made from.")
    first_offset: Offset = Field(description="The smallest offset that the window was made from.")
    last_offset: Offset = Field(description="The greatest offset that the window was made from.")
    lag_ms: int = Field(
        ge=0, description="The greatest time from a sample to its Kafka record, in milliseconds; 0 when it is ahead."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.end_ms <= self.start_ms:
            raise ValueError(f"end_ms {self.end_ms} must be above start_ms {self.start_ms}")
        if self.first_offset > self.last_offset:
            raise ValueError(f"first_offset {self.first_offset} is above last_offset {self.last_offset}")
        if self.revision < self.last_offset:
            raise ValueError(f"revision {self.revision} is below last_offset {self.last_offset}")
        return self

    def to_json(self) -> bytes:
        """Return the record as one line of JSON; ``increase`` and ``rate`` only where they are known."""
        return self.model_dump_json(exclude_none=True).encode()


def _decoded(value: Any) -> Any:
    """Return the bytes of a base64 text; anything else is left to the validation of bytes."""
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("value must be base64 with the standard alphabet") from error


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


OriginalBytes = Annotated[
    bytes,
    BeforeValidator(_decoded),
    PlainSerializer(_encoded, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]


class DeadLetter(Record):
    """Bytes that were not used, and why: the value of ``dead-letters``."""

    topic: str = Field(min_length=1, description="The topic that the record came from.")
    partition: int = Field(ge=0, description="The partition that the record came from.")
    offset: Offset = Field(description="The record's offset.")
    line: Annotated[int, Field(ge=1)] | None = Field(
        description="The line in the record, from 1; null for a whole record."
    )
    column: Annotated[int, Field(ge=1)] | None = Field(description="The column in the line, from 1; null where none.")
    reason: Annotated[DeadLetterReason, Field(strict=False)] = Field(description="Why the bytes were not used.")
    message: str = Field(description="The same for a reader, with what was found and what is allowed.")
    stage: str = Field(min_length=1, description="The stage that could not use the bytes.")
    value: OriginalBytes = Field(description="The original bytes, as base64 with the standard alphabet and padding.")

    def key(self) -> str:
        """Return the record's Kafka key: where the bytes came from."""
        return f"{self.topic}/{self.partition}/{self.offset}"

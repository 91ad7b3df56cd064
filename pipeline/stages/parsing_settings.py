"""The settings of parsing, for every stage that reads ``metrics.raw``."""

from typing import Literal

from pydantic import Field

from pipeline.settings.base import PositiveDuration, Section, to_ms

TimestampUnit = Literal["auto", "ns", "us", "ms", "s"]


class ParsingSettings(Section):
    """How the records of metrics.raw are read."""

    key = "parsing"
    title = "Parsing"

    format: Literal["auto", "influx", "json"] = Field(
        "auto", title="Format", description="Line protocol, Telegraf JSON, or told apart by the first byte."
    )
    influx_timestamp_unit: TimestampUnit = Field(
        "auto", title="Line protocol time unit", description="Unit of timestamps; auto decides by magnitude."
    )
    json_timestamp_unit: TimestampUnit = Field(
        "auto", title="JSON time unit", description="Unit of timestamps; auto decides by magnitude."
    )
    max_record_bytes: int = Field(
        4 * 1024 * 1024,
        ge=1024,
        le=64 * 1024 * 1024,
        title="Largest record",
        description="Bytes of a record's value; a larger one is dead-lettered.",
    )
    future_limit_s: PositiveDuration = Field(
        600.0, title="Future limit", description="Seconds a timestamp may be ahead of the clock; beyond: dead-lettered."
    )

    @property
    def future_limit_ms(self) -> int:
        """The future limit in milliseconds."""
        return to_ms(self.future_limit_s)

"""What every stage that reads ``metrics.raw`` takes of it."""

import numpy as np

from pipeline.core.records.kafka.columns import RecordColumns
from pipeline.core.records.telegraf.parsed import TimestampUnit
from pipeline.core.records.telegraf.parser import ParseOptions, RecordBatch
from pipeline.core.records.telegraf.record import InputFormat
from pipeline.settings.model import Settings
from pipeline.stages.parsing_settings import ParsingSettings


def parse_options(settings: Settings) -> ParseOptions:
    """Return what the settings accept as input."""
    parsing = settings[ParsingSettings]
    return ParseOptions(
        input_format=InputFormat(parsing.format),
        influx_unit=TimestampUnit(parsing.influx_timestamp_unit),
        json_unit=TimestampUnit(parsing.json_timestamp_unit),
        max_bytes=parsing.max_record_bytes,
        future_limit_ms=parsing.future_limit_ms,
    )


def keyed_records(columns: RecordColumns) -> RecordBatch:
    """Return a fetch's records that have a key: those without one come again, as ``aggregate`` gives them theirs."""
    keyed = columns.key_start >= 0
    if keyed.all():
        return RecordBatch(columns.buffer, columns.value_start, columns.value_end, columns.offset, columns.timestamp_ms)
    places = np.flatnonzero(keyed)
    return RecordBatch(
        buffer=columns.buffer,
        value_start=columns.value_start[places],
        value_end=columns.value_end[places],
        offset=columns.offset[places],
        timestamp_ms=columns.timestamp_ms[places],
    )

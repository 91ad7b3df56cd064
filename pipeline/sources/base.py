"""What every source makes: one Kafka record for `metrics.raw`."""

from typing import NamedTuple


class RawRecord(NamedTuple):
    """One metric, as a Telegraf agent's Kafka output sends it."""

    key: bytes
    """The resource, ``ns/infra/node``: it decides the partition."""
    value: bytes
    """The metric in line protocol (ending with a newline) or JSON."""
    time_ms: int
    """The metric's own time in UTC milliseconds; the record's timestamp too."""

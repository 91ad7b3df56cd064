"""What the aggregation of a partition gives out, and where its samples went."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.core.records.telegraf.parser import RefusedPart


@dataclass(slots=True)
class WindowOutput:
    """What a call gave: records for ``metrics.agg`` and parts for ``dead-letters``.

    Attributes
    ----------
    keys : list of bytes
        Each record's resource.
    values : list of bytes
        The records, JSON (`schemas.records.AggregatedWindow`).
    refused : list of RefusedPart
        What could not be used.
    """

    keys: list[bytes] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    refused: list[RefusedPart] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class WindowBalance:
    """Where the samples of a partition went since it was taken over: rule 3 of the design, in numbers.

    ``parsed == aggregated + late + too_late + open_samples`` at any time between two calls (what a restart read again
    counts as aggregated or open, never as parsed); filtered fields are counted beside them.
    """

    records_with_samples: int
    empty_records: int
    parsed: int
    filtered: Mapping[str, int]
    aggregated: int
    late: int
    too_late: int
    open_samples: int
    open_windows: int
    windows_emitted: int
    corrections: int
    replayed: int

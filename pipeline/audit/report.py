"""What an audit found: counts for each partition and reason, what is wrong, and the first offender by name."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    """What can be wrong."""

    WINDOW_MISSING = "window_missing"
    """A closed window with processed samples has no record."""
    COUNT_WRONG = "count_wrong"
    """The latest revision of a window counts samples that there are not, or leaves some out."""
    TWO_CONTENTS = "two_contents"
    """Two records of one window and revision say different things."""
    BAD_RECORD = "bad_record"
    """A record of metrics.agg contradicts itself, or cannot be read."""
    DEAD_LETTER_MISSING = "dead_letter_missing"
    """What cannot be used has no dead letter."""
    PART_MISSING = "part_missing"
    """A record without a key was not produced again with one, or not all of it."""
    VALUE_WRONG = "value_wrong"
    """The latest revision of a window differs from what its samples come to."""
    STORE_MISSING = "store_missing"
    """A store lacks a window."""
    STORE_WRONG = "store_wrong"
    """A store has other values."""
    STORE_EXTRA = "store_extra"
    """A store has a window that metrics.agg has not."""


class Status(StrEnum):
    """What an audit came to."""

    PROVED = "proved"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and where."""

    fault: Fault
    message: str
    measurement: str | None = None
    tags: Mapping[str, str] | None = None
    field: str | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    raw_partition: int | None = None
    raw_first_offset: int | None = None
    raw_last_offset: int | None = None
    agg_partition: int | None = None
    agg_offset: int | None = None


class Findings:
    """Counts what is wrong, and keeps the first."""

    def __init__(self) -> None:
        self.counts: Counter[Fault] = Counter()
        self.first: Finding | None = None

    def add(self, finding: Finding, count: int = 1) -> None:
        """Take what was found."""
        self.counts[finding.fault] += count
        if self.first is None:
            self.first = finding


@dataclass(slots=True)
class PartitionReport:
    """One partition of ``metrics.raw``: records that were read, and the samples of the period's windows."""

    partition: int
    first_offset: int | None = None
    last_offset: int | None = None
    processed_until: int | None = None
    records: int = 0
    without_key: int = 0
    rekeyed_twice: int = 0
    empty_records: int = 0
    unreadable_records: int = 0
    filtered: dict[str, int] = field(default_factory=dict)
    dead_lettered: dict[str, int] = field(default_factory=dict)
    in_windows: int = 0
    too_late: int = 0
    open: int = 0
    waiting: int = 0
    unknown: int = 0

    @property
    def samples(self) -> int:
        """All samples of the period."""
        return self.in_windows + self.too_late + self.open + self.waiting + self.unknown


@dataclass(slots=True)
class Report:
    """The result of an audit."""

    start_ms: int
    end_ms: int
    deep: bool
    partitions: list[PartitionReport] = field(default_factory=list)
    windows: int = 0
    windows_cut: int = 0
    agg_records: int = 0
    findings: Findings = field(default_factory=Findings)
    undecided: list[str] = field(default_factory=list)

    @property
    def status(self) -> Status:
        """What it comes to."""
        if self.findings.counts:
            return Status.REFUTED
        return Status.UNDECIDED if self.undecided else Status.PROVED

    def document(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        first = self.findings.first
        return {
            "status": self.status.value,
            "from_ms": self.start_ms,
            "to_ms": self.end_ms,
            "deep": self.deep,
            "windows": self.windows,
            "windows_cut": self.windows_cut,
            "agg_records": self.agg_records,
            "faults": {fault.value: count for fault, count in self.findings.counts.items()},
            "first": None if first is None else asdict(first),
            "undecided": self.undecided,
            "partitions": [{**asdict(each), "samples": each.samples} for each in self.partitions],
        }

"""``metrics.raw`` read once: samples, refusals and parts without a key handed on as rows."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from confluent_kafka import Message

from pipeline.audit.dead_letters import DeadLetters, dead_letter_rows
from pipeline.audit.recompute import Recomputed, doubtful_rows
from pipeline.audit.report import PartitionReport
from pipeline.audit.spill import Spill
from pipeline.core.audit.hashes import text_hash
from pipeline.core.audit.samples import PartitionSamples
from pipeline.core.records.identity.rekeying import (
    ORIGIN_HEADER,
    RESOURCE_HEADER,
    Origin,
    OriginLedger,
    split_by_resource,
)
from pipeline.core.records.telegraf.parser import ParseOptions, RecordBatch
from pipeline.runtime.kafka.topic_reader import headers_of
from schemas.reasons import DeadLetterReason

RECORDS_AT_ONCE: Final = 5000
PART_ROW: Final = np.dtype([("key", np.uint64), ("partition", np.int32), ("offset", np.int64), ("part", np.int32)])


@dataclass(frozen=True, slots=True)
class Spills:
    """Where the rows go.

    Attributes
    ----------
    samples : Spill
        Samples of the period.
    again : Spill
        Windows that a deep audit computes again.
    needed_letters, needed_parts, parts : Spill
        Dead letters and re-keyed parts that there must be, and the parts that there are.
    """

    samples: Spill
    again: Spill
    needed_dead_letters: Spill
    needed_parts: Spill
    parts: Spill


def part_row(origin: Origin) -> tuple[int, int, int, int]:
    """Return the row of a part of a record that came without a key."""
    return (text_hash(f"{origin.partition}/{origin.offset}/{origin.part}"), *origin)


@dataclass(slots=True)
class PartitionLog:
    """Takes the records of one partition, in their order."""

    samples: PartitionSamples
    report: PartitionReport
    dead_letters: DeadLetters
    spills: Spills
    options: ParseOptions
    processed_until: int
    dead_letter_late: bool
    parts_from_ms: int
    recomputed: Recomputed | None = None
    _origins: OriginLedger = field(default_factory=OriginLedger)
    _values: list[bytes] = field(default_factory=list)
    _offsets: list[int] = field(default_factory=list)
    _times_ms: list[int] = field(default_factory=list)
    _dead: Counter[str] = field(default_factory=Counter)

    def take(self, message: Message) -> None:
        """Take the next record."""
        offset = message.offset() or 0
        report = self.report
        report.records += 1
        report.first_offset = offset if report.first_offset is None else report.first_offset
        report.last_offset = offset
        if self.dead_letters.unreadable and self.dead_letters.is_unreadable(report.partition, offset):
            report.unreadable_records += 1
            return
        value, time_ms = message.value() or b"", message.timestamp()[1]
        if message.key() is None:
            self._take_keyless(message, offset, value, time_ms)
            return
        if message.headers() and not self._is_first(message, offset):
            report.rekeyed_twice += 1
            return
        self._values.append(value)
        self._offsets.append(offset)
        self._times_ms.append(time_ms)
        if len(self._values) >= RECORDS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Count what is gathered."""
        if not self._values:
            return
        ends = np.cumsum(np.fromiter(map(len, self._values), np.int64, len(self._values)))
        times_ms = np.array(self._times_ms, np.int64)
        batch = RecordBatch(
            buffer=np.frombuffer(bytearray().join(self._values), np.uint8),
            value_start=np.concatenate([np.zeros(1, np.int64), ends[:-1]]),
            value_end=ends,
            offset=np.array(self._offsets, np.int64),
            timestamp_ms=times_ms,
        )
        partition = self.report.partition
        ahead_from_ms = self.dead_letters.ahead_from_ms(partition, self._offsets, times_ms)
        checked = self.samples.add(batch, ahead_from_ms)
        if self.recomputed is not None:
            self.recomputed.add(batch, ahead_from_ms)
            self.spills.again.add(doubtful_rows(checked.rows))
        self._values, self._offsets, self._times_ms = [], [], []
        self.spills.samples.add(checked.rows)
        for part in checked.refused:
            self._need_dead_letter(part.offset, part.refusal.line, part.refusal.column, part.refusal.reason, part.value)
        for offset in checked.ahead:
            self._need_dead_letter(offset, 0, 0, DeadLetterReason.TIMESTAMP_FUTURE, b"")
        if self.dead_letter_late:
            for offset in checked.too_late:
                self._need_dead_letter(offset, 0, 0, DeadLetterReason.TOO_LATE, b"")

    def finish(self) -> None:
        """Count what is left, and note what was counted along the way."""
        self.flush()
        if self.recomputed is not None:
            self.recomputed.finish()
        self.report.empty_records = self.samples.empty_records
        self.report.filtered = {str(reason): count for reason, count in self.samples.filtered.items() if count}
        self.report.dead_lettered = dict(self._dead)

    def _is_first(self, message: Message, offset: int) -> bool:
        """Return whether a record with headers is to be counted; note the part that it is."""
        origin = Origin.from_bytes(dict(headers_of(message)).get(ORIGIN_HEADER, b""))
        if origin is None:
            return True
        self.spills.parts.add(_rows([part_row(origin)]))
        return self._origins.is_new(offset, origin)

    def _take_keyless(self, message: Message, offset: int, value: bytes, time_ms: int) -> None:
        self.report.without_key += 1
        if offset > self.processed_until:
            self.report.waiting += 1
            return
        named = dict(headers_of(message)).get(RESOURCE_HEADER)
        parts, refusals = split_by_resource(value, self.options, named.decode("utf-8", "replace") if named else None)
        for refusal in refusals:
            refused = value[refusal.start : refusal.end]
            self._need_dead_letter(offset, refusal.line, refusal.column, refusal.reason, refused)
        if time_ms >= self.parts_from_ms:
            origins = [Origin(self.report.partition, offset, number) for number in range(len(parts))]
            self.spills.needed_parts.add(_rows([part_row(origin) for origin in origins]))

    def _need_dead_letter(self, offset: int, line: int, column: int, reason: DeadLetterReason, value: bytes) -> None:
        if offset <= self.processed_until:
            self._dead[reason.value] += 1
            row = (self.report.partition, offset, line, column, reason, value)
            self.spills.needed_dead_letters.add(dead_letter_rows([row]))


def _rows(rows: Iterable[tuple[int, int, int, int]]) -> "np.ndarray[tuple[int], np.dtype[np.void]]":
    return np.array(list(rows), PART_ROW)

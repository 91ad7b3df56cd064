"""The dead letters of the aggregate stage, as the audit needs them: which there are, and what they take out."""

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

import numpy as np

import topics
from pipeline.audit.spill import Spill
from pipeline.core.audit.hashes import text_hash
from pipeline.core.audit.samples import ALWAYS, NEVER
from pipeline.core.compiled import Array, Ints
from pipeline.core.records.telegraf.parsed import ParsedMetric
from pipeline.core.records.telegraf.parser import ParseOptions
from pipeline.core.records.telegraf.record import parse_record
from pipeline.runtime.kafka.dead_letter_log import StoredDeadLetter, read_log
from pipeline.runtime.kafka.topic_reader import TopicReader
from pipeline.stages.aggregate.stage import STAGE
from pipeline.stages.dead_letters import MAX_VALUE_BYTES
from schemas.reasons import DeadLetterReason
from schemas.records import DeadLetter

DEAD_LETTER_ROW: Final = np.dtype(
    [("key", np.uint64), ("partition", np.int32), ("offset", np.int64), ("line", np.int32), ("reason", np.int32)]
)
REASONS: Final = tuple(DeadLetterReason)
_OFFSETS: Final = re.compile(r"offsets (\d{1,19}) to (\d{1,19}):")
_BY_RECORD: Final = frozenset({DeadLetterReason.TOO_LATE, DeadLetterReason.TIMESTAMP_FUTURE})
"""Reasons that depend on when and after what a record was read: one dead letter a record is asked for."""


def dead_letter_rows(found: Iterable[tuple[int, int, int, int, DeadLetterReason, bytes]]) -> Array:
    """Return ``LETTER_ROW`` rows of (partition, offset, line, column, reason, refused bytes)."""
    rows = []
    for partition, offset, line, column, reason, value in found:
        place = f"{partition}/{offset}/{reason}"
        if reason not in _BY_RECORD:
            digest = blake2b(value[:MAX_VALUE_BYTES], digest_size=8).hexdigest()
            place = f"{place}/{line}/{column}/{digest}"
        rows.append((text_hash(place), partition, offset, line, REASONS.index(reason)))
    return np.array(rows, DEAD_LETTER_ROW)


class DeadLetters:
    """What lies on ``dead-letters`` of ``metrics.raw``.

    Attributes
    ----------
    unreadable : dict of int to list of (first, last)
        By partition, the offsets that could not be read.
    rejected : dict of str to list of (partition, offset)
        By stage, the records of ``metrics.agg`` that its store refused.
    read : int
        Records of the topic that were read.
    """

    def __init__(self, spill: Spill, options: ParseOptions) -> None:
        self._spill = spill
        self._options = options
        self._ahead: dict[tuple[int, int], int | None] = {}
        self.unreadable: dict[int, list[tuple[int, int]]] = {}
        self.rejected: dict[str, list[tuple[int, int]]] = {}
        self.read = 0

    def read_all(self, reader: TopicReader) -> None:
        """Read the topic to its end."""
        for entry in read_log(reader):
            self.read += 1
            if isinstance(entry, StoredDeadLetter):
                dead_letter = entry.dead_letter
                if dead_letter.stage == STAGE and dead_letter.topic == topics.METRICS_RAW:
                    self._take(dead_letter)
                elif dead_letter.reason is DeadLetterReason.STORE_REJECTED:
                    self.rejected.setdefault(dead_letter.stage, []).append((dead_letter.partition, dead_letter.offset))

    def ahead_from_ms(self, partition: int, offsets: Sequence[int], times_ms: Ints) -> Ints:
        """Return for each record from which time on its lines were refused as too far ahead; ALWAYS for none."""
        result = np.full(len(offsets), ALWAYS, np.int64)
        if self._ahead:
            for i, offset in enumerate(offsets):
                ahead = self._ahead.get((partition, offset), ALWAYS)
                result[i] = times_ms[i] if ahead is None else ahead
        return result

    def is_unreadable(self, partition: int, offset: int) -> bool:
        """Return whether a record lies in a batch that the worker could not read."""
        return any(first <= offset <= last for first, last in self.unreadable.get(partition, ()))

    def _take(self, dead_letter: DeadLetter) -> None:
        place = (dead_letter.partition, dead_letter.offset)
        match dead_letter.reason:
            case DeadLetterReason.UNREADABLE_BATCH:
                offsets = _OFFSETS.match(dead_letter.message)
                last = int(offsets[2]) if offsets else dead_letter.offset
                self.unreadable.setdefault(dead_letter.partition, []).append((dead_letter.offset, last))
            case DeadLetterReason.TIMESTAMP_FUTURE:
                earlier = self._ahead.get(place, ALWAYS)
                time_ms = self._time_of(dead_letter)
                self._ahead[place] = None if earlier is None or time_ms is None else min(earlier, time_ms)
            case DeadLetterReason.TOO_LARGE:  # it may depend on the fields that the worker knew then
                self._ahead[place] = NEVER
        row = (*place, dead_letter.line or 0, dead_letter.column or 0, dead_letter.reason, dead_letter.value)
        self._spill.add(dead_letter_rows([row]))

    def _time_of(self, dead_letter: DeadLetter) -> int | None:
        """Return the least time in a dead letter's bytes, None where its record's counts."""
        times_ns = [
            item.time_ns
            for item in parse_record(
                dead_letter.value,
                input_format=self._options.input_format,
                influx_unit=self._options.influx_unit,
                json_unit=self._options.json_unit,
                max_bytes=MAX_VALUE_BYTES,
            )
            if isinstance(item, ParsedMetric)
        ]
        known = [time_ns // 1_000_000 for time_ns in times_ns if time_ns is not None]
        return min(known) if known and len(known) == len(times_ns) else None

"""One partition's fetched bytes, checked, decompressed and decoded to columns.

What Kafka sends for a partition is a row of record batches, the first of which may begin before the offset asked for
and the last of which may be cut off. Here they are cut apart, checked by CRC, decompressed under a bound and handed to
`pipeline.core.records.kafka.batch`. A batch that cannot be read becomes an `UnreadableBatch`: it is bad input, not a
crash.
"""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import cramjam
import numpy as np
from aiokafka.errors import KafkaError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.record.util import calc_crc32c

from pipeline.core.compiled import Ints
from pipeline.core.records.kafka.batch import (
    COLUMN_BYTES,
    MIN_RECORD_SIZE,
    NO_APPEND_TIME,
    Sections,
    decode_sections,
)
from pipeline.core.records.kafka.batch_header import (
    CRC_START,
    HEADER_SIZE,
    MAGIC_OFFSET,
    BatchHeader,
    read_batch_header,
)
from pipeline.core.records.kafka.columns import RecordColumns, UnreadableBatch
from pipeline.core.records.kafka.section_faults import SECTION_FAULTS
from pipeline.runtime.engine.buffer_pool import BufferPool
from pipeline.runtime.engine.decompression import CannotDecompressError, OutputFullError, decompress

MAX_BATCH_BYTES: Final = 256 * 1024 * 1024
"""Decompressed bytes of one batch; a batch that holds more is unreadable (a decompression bomb)."""
MAX_JOINED_BYTES: Final = 64 * 1024 * 1024
"""Decompressed bytes handed on at once; the batches after it are fetched again."""
MAX_RAW_BYTES: Final = 1024 * 1024
"""Bytes of an unreadable batch that are kept for its dead letter."""
LOG_OVERHEAD: Final = 12
"""Offset and length before every batch or old message."""

_GUESSED_RATIO: Final = 5
_LEGACY_FAULTS: Final = (
    KafkaError,
    ValueError,
    OSError,
    EOFError,
    zlib.error,
    struct.error,
    cramjam.DecompressionError,
)


class CutOffBatchError(Exception):
    """The first batch of a fetch is larger than the fetch, so that the partition cannot go on.

    Brokers since Kafka 0.10.1 send the first batch whole; one that does not needs a greater `kafka.fetch_max_bytes`.
    """


@dataclass(frozen=True, slots=True)
class PartitionFetch:
    """What a broker answered for one partition.

    Parameters
    ----------
    topic, partition
        Where it is from.
    fetched
        The bytes of the record batches.
    from_offset
        The offset asked for.
    high_watermark
        As the broker said it.
    aborted
        (producer id, first offset) of aborted transactions; their records are left out. Empty when the consumer reads
        uncommitted records too.
    check_crcs
        Whether each batch's CRC is checked, about 0.8 ns a compressed byte.
    """

    topic: str
    partition: int
    fetched: bytes
    from_offset: int
    high_watermark: int
    aborted: Iterable[tuple[int, int]] = ()
    check_crcs: bool = True


def decode_fetch(fetch: PartitionFetch, pool: BufferPool) -> RecordColumns:
    """Return the records of a fetch from the asked-for offset on.

    Parameters
    ----------
    fetch
        The answer.
    pool
        Where the columns' memory is from; it goes back there when the columns are gone.

    Returns
    -------
    RecordColumns
        May hold no record, when there were markers or damaged batches alone; `next_offset` is where to go on.

    Raises
    ------
    CutOffBatchError
        When not even the first batch is whole.
    """
    view = memoryview(fetch.fetched)
    joined = _JoinedBatches(fetch, pool)
    next_offset = fetch.from_offset
    at = 0
    while len(view) - at >= LOG_OVERHEAD and joined.size < MAX_JOINED_BYTES:
        base_offset, length = struct.unpack_from(">qi", view, at)
        if length <= MAGIC_OFFSET - LOG_OVERHEAD or base_offset < 0:
            # without a length the rest cannot be cut apart: one offset is given up, the next fetch shows what follows
            joined.reject(view[at:], next_offset, next_offset, f"offset {base_offset} and length {length} of a batch")
            return joined.decode(next_offset + 1)
        end = at + LOG_OVERHEAD + length
        if end > len(view):
            break
        next_offset = max(next_offset, joined.add(view, at, end))
        at = end
    if at == 0 and len(view) > 0:
        raise CutOffBatchError(
            f"{fetch.topic}[{fetch.partition}] offset {fetch.from_offset}: the first batch does not fit into a fetch "
            f"of {len(view)} bytes; raise kafka.fetch_max_bytes"
        )
    return joined.decode(next_offset)


def warm_up() -> None:
    """Load or compile the decoder, so that the first fetch need not wait for it."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1024)
    builder.append(0, 0, b"key", b"value", [("name", b"value")])
    columns = decode_fetch(PartitionFetch("warm-up", 0, bytes(builder.build()), 0, 1), BufferPool())
    columns.headers(0)


class _JoinedBatches:
    """Records sections collected in one buffer, and the batches that cannot be read."""

    def __init__(self, fetch: PartitionFetch, pool: BufferPool) -> None:
        self.size = 0
        self._fetch = fetch
        self._pool = pool
        self._buffer = pool.take(len(fetch.fetched) * _GUESSED_RATIO)
        self._headers: list[BatchHeader] = []
        self._starts: list[int] = []
        self._raws: list[memoryview] = []
        self._unreadable: list[UnreadableBatch] = []
        self._aborted = _AbortedTransactions(fetch.aborted)

    def add(self, view: memoryview, at: int, end: int) -> int:
        """Collect the batch at a range of the fetch; return the offset after it."""
        raw = view[at:end]
        (base_offset,) = struct.unpack_from(">q", raw)
        if raw[MAGIC_OFFSET] < 2:
            return self._add_legacy(raw, base_offset)
        if len(raw) < HEADER_SIZE:
            self.reject(raw, base_offset, base_offset, f"a batch of {len(raw)} bytes has no header")
            return int(base_offset) + 1
        header = read_batch_header(raw, 0)
        fault = self._header_fault(header, raw)
        if fault is not None:
            last_offset = self._bounded_last_offset(header, view, end)
            self.reject(raw, header.base_offset, last_offset, fault)
            return last_offset + 1
        if header.is_control:
            self._aborted.see_marker(header)
        elif not self._aborted.has(header) and header.last_offset >= self._fetch.from_offset:
            self._join(header, raw, raw[HEADER_SIZE:])
        return header.last_offset + 1

    def _header_fault(self, header: BatchHeader, raw: memoryview) -> str | None:
        if header.magic != 2:
            return f"record format {header.magic} is not known"
        if self._fetch.check_crcs:
            crc = calc_crc32c(raw[CRC_START:])
            if crc != header.crc:
                return f"the CRC is {crc:#010x} and should be {header.crc:#010x}"
        if header.last_offset < header.base_offset or header.record_count < 0:
            return f"offsets {header.base_offset} to {header.last_offset} and {header.record_count} records"
        return None

    def _bounded_last_offset(self, header: BatchHeader, view: memoryview, end: int) -> int:
        """Return the last offset of a batch whose header cannot be trusted: never beyond what follows it."""
        bound = self._fetch.high_watermark - 1
        if len(view) - end >= LOG_OVERHEAD:
            bound = min(bound, struct.unpack_from(">q", view, end)[0] - 1)
        return max(header.base_offset, self._fetch.from_offset, min(header.last_offset, bound))

    def _join(self, header: BatchHeader, raw: memoryview, packed: memoryview) -> None:
        try:
            size = self._decompress(header.codec, packed)
        except CannotDecompressError as error:
            self.reject(raw, header.base_offset, header.last_offset, str(error))
            return
        if header.record_count * MIN_RECORD_SIZE > size:
            message = f"{header.record_count} records cannot be in {size} bytes"
            self.reject(raw, header.base_offset, header.last_offset, message)
            return
        self._headers.append(header)
        self._starts.append(self.size)
        self._raws.append(raw)
        self.size += size

    def _decompress(self, codec: int, packed: memoryview) -> int:
        """Write a section behind the others, in a larger buffer when it does not fit; return its bytes."""
        while True:
            room = len(self._buffer) - self.size
            try:
                return decompress(codec, packed, self._buffer.data[self.size : self.size + MAX_BATCH_BYTES])
            except OutputFullError as error:
                if room >= MAX_BATCH_BYTES:
                    raise CannotDecompressError(f"more than {MAX_BATCH_BYTES} bytes when decompressed") from error
            larger = self._pool.take(self.size + min(MAX_BATCH_BYTES, max(2 * room, len(packed) * 4 * _GUESSED_RATIO)))
            larger[: self.size] = self._buffer[: self.size]
            self._buffer = larger

    def _add_legacy(self, raw: memoryview, base_offset: int) -> int:
        """Turn an old message (or a compressed set of them) into a batch of today's format."""
        magic = raw[MAGIC_OFFSET]
        try:
            batch = LegacyRecordBatch(bytes(raw), magic)
            if self._fetch.check_crcs and not batch.validate_crc():
                self.reject(raw, base_offset, base_offset, f"the CRC of a message of format {magic} is wrong")
                return base_offset + 1
            records = list(batch)
        except _LEGACY_FAULTS as error:
            self.reject(raw, base_offset, base_offset, f"a message of format {magic}: {error}")
            return base_offset + 1
        if not records:
            return base_offset + 1
        first = records[0].offset
        builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 2**31 - 1)
        for record in records:
            timestamp_ms = -1 if record.timestamp is None else record.timestamp
            builder.append(record.offset - first, timestamp_ms, record.key, record.value, [])
        built = memoryview(bytes(builder.build()))
        header = replace(read_batch_header(built, 0), base_offset=first, last_offset=records[-1].offset)
        self._join(header, raw, built[HEADER_SIZE:])
        return max(base_offset, header.last_offset) + 1

    def reject(self, raw: memoryview, base_offset: int, last_offset: int, message: str) -> None:
        """Note a batch that cannot be read, unless it lies before the asked-for offset."""
        fetch = self._fetch
        if last_offset >= fetch.from_offset:
            cut = bytes(raw[:MAX_RAW_BYTES])
            self._unreadable.append(
                UnreadableBatch(fetch.topic, fetch.partition, base_offset, last_offset, cut, message)
            )

    def decode(self, next_offset: int) -> RecordColumns:
        """Return what was collected, as columns."""
        fetch = self._fetch
        headers = self._headers
        sections = Sections(
            start=_int64s(self._starts),
            end=_int64s([*self._starts[1:], self.size] if self._starts else []),
            record_count=_int64s([header.record_count for header in headers]),
            base_offset=_int64s([header.base_offset for header in headers]),
            last_offset=_int64s([header.last_offset for header in headers]),
            base_timestamp_ms=_int64s([header.base_timestamp_ms for header in headers]),
            append_time_ms=_int64s(
                [header.max_timestamp_ms if header.is_append_time else NO_APPEND_TIME for header in headers]
            ),
        )
        columns, status = decode_sections(
            self._buffer[: self.size],
            sections,
            self._pool.take(int(sections.record_count.sum()) * COLUMN_BYTES),
            topic=fetch.topic,
            partition=fetch.partition,
            from_offset=fetch.from_offset,
            next_offset=next_offset,
            high_watermark=fetch.high_watermark,
        )
        for i in np.flatnonzero(status).tolist():
            header = headers[i]
            self.reject(self._raws[i], header.base_offset, header.last_offset, SECTION_FAULTS[int(status[i])])
        if not self._unreadable:
            return columns
        return replace(columns, unreadable=tuple(sorted(self._unreadable, key=lambda batch: batch.base_offset)))


def _int64s(numbers: list[int]) -> Ints:
    return np.array(numbers, np.int64)


class _AbortedTransactions:
    """Which producers' records at the current place of a fetch belong to an aborted transaction.

    Parameters
    ----------
    aborted
        (producer id, first offset) as the broker lists them.
    """

    def __init__(self, aborted: Iterable[tuple[int, int]]) -> None:
        self._waiting = sorted(aborted, key=lambda entry: entry[1], reverse=True)
        self._open: set[int] = set()

    def _advance(self, offset: int) -> None:
        while self._waiting and self._waiting[-1][1] <= offset:
            self._open.add(self._waiting.pop()[0])

    def has(self, header: BatchHeader) -> bool:
        """Return whether the batch is part of an aborted transaction."""
        self._advance(header.base_offset)
        return header.is_transactional and header.producer_id in self._open

    def see_marker(self, header: BatchHeader) -> None:
        """Note that the producer's transaction ends here: the marker after its first aborted offset is its abort."""
        self._advance(header.base_offset)
        self._open.discard(header.producer_id)

"""Kafka record batches of format 2, decoded to columns without an object per record.

A fetch of a partition is a row of batches. Who fetches (`pipeline.runtime.record_fetch`) checks and decompresses them
and joins their records sections to one buffer; here one compiled pass walks all sections and writes where each record's
key, value and headers lie. Nothing is copied, and nothing outside a section is read, whatever the bytes say.

Source: Apache Kafka, protocol guide, "Record Batch" and "Record" (magic 2).
"""

import struct
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Int32s = NDArray[np.int32]
Bytes = NDArray[np.uint8]

HEADER_SIZE: Final = 61
MAGIC_OFFSET: Final = 16
CRC_START: Final = 21
MIN_RECORD_SIZE: Final = 7  # seven varints and bytes, each of one byte: a record without key, value and headers
NO_APPEND_TIME: Final = np.iinfo(np.int64).min
COLUMN_BYTES: Final = 64
"""Memory that the columns need for a record."""

SECTION_OK: Final = 0
SECTION_TRUNCATED: Final = 1
SECTION_VARINT: Final = 2
SECTION_LENGTH: Final = 3
SECTION_OFFSET: Final = 4
SECTION_TRAILING: Final = 5
SECTION_FAULTS: Final = {
    SECTION_TRUNCATED: "a record reaches beyond the end of its batch",
    SECTION_VARINT: "a variable-length integer is longer than ten bytes or does not fit its field",
    SECTION_LENGTH: "a length inside a record does not fit the record",
    SECTION_OFFSET: "offsets do not rise or lie outside of the batch",
    SECTION_TRAILING: "bytes are left over after the last record",
}

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")


@dataclass(frozen=True, slots=True)
class BatchHeader:
    """The fixed fields at the start of a record batch.

    Parameters
    ----------
    base_offset, last_offset
        Offsets of the batch's first and last record as it was written; compaction may have removed either.
    size
        Bytes of the whole batch, header included.
    magic
        Format version; 2 here, 0 or 1 for the old message sets.
    crc
        CRC-32C of everything from `CRC_START` on.
    codec
        0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd; 5 to 7 are not assigned.
    is_append_time, is_transactional, is_control
        Attribute bits: the broker stamped the records; they belong to a transaction; they are markers, not data.
    base_timestamp_ms, max_timestamp_ms
        First record's time and the greatest time, UTC milliseconds.
    producer_id
        Idempotent producer, or -1.
    record_count
        Records that follow, as the header claims.
    """

    base_offset: int
    last_offset: int
    size: int
    magic: int
    crc: int
    codec: int
    is_append_time: bool
    is_transactional: bool
    is_control: bool
    base_timestamp_ms: int
    max_timestamp_ms: int
    producer_id: int
    record_count: int


@dataclass(frozen=True, slots=True)
class UnreadableBatch:
    """A batch that could not be decoded, in the place of its records.

    Parameters
    ----------
    topic, partition
        Where it lies.
    base_offset, last_offset
        Offsets it stands for, both inclusive.
    raw
        Its bytes as fetched, cut to the fetcher's bound.
    message
        What is wrong with it.
    """

    topic: str
    partition: int
    base_offset: int
    last_offset: int
    raw: bytes
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class RecordColumns:
    """The records of one partition's fetch, as columns over one buffer.

    Parameters
    ----------
    topic, partition
        Where they lie.
    buffer
        Joined records sections, decompressed; all positions are indices into it.
    offset, timestamp_ms
        Shape (n,), offsets rise strictly; times are the records' own, or the broker's where the topic says so.
    key_start, key_end, value_start, value_end
        Shape (n,), half-open ranges; -1, -1 for null.
    header_start, header_count
        Shape (n,), position of the first header and how many there are.
    next_offset
        Where the partition goes on; greater than the last offset + 1 where markers or compacted records follow.
    high_watermark
        First offset not yet committed by the broker when it answered.
    unreadable
        Batches of this fetch that could not be decoded, by offset.
    """

    topic: str
    partition: int
    buffer: Bytes
    offset: Int64s
    timestamp_ms: Int64s
    key_start: Int64s
    key_end: Int64s
    value_start: Int64s
    value_end: Int64s
    header_start: Int64s
    header_count: Int32s
    next_offset: int
    high_watermark: int
    unreadable: tuple[UnreadableBatch, ...] = ()

    def __len__(self) -> int:
        return len(self.offset)

    def key(self, i: int) -> bytes | None:
        """Return record `i`'s key, or None when it has none."""
        return _range_bytes(self.buffer, int(self.key_start[i]), int(self.key_end[i]))

    def value(self, i: int) -> bytes | None:
        """Return record `i`'s value, or None when it has none."""
        return _range_bytes(self.buffer, int(self.value_start[i]), int(self.value_end[i]))

    def headers(self, i: int) -> list[tuple[str, bytes]]:
        """Return record `i`'s headers in order.

        Returns
        -------
        list of (name, value)
            Bytes of a name that are not UTF-8 come as replacement characters; a null value comes as `b""`.
        """
        headers = []
        at = int(self.header_start[i])
        for _ in range(int(self.header_count[i])):
            name, at = self._sized(at)
            value, at = self._sized(at)
            headers.append((name.decode("utf-8", "replace"), value))
        return headers

    def _sized(self, at: int) -> tuple[bytes, int]:
        size, at, _ = read_varint(self.buffer, at, len(self.buffer))
        end = int(at) + max(int(size), 0)
        return self.buffer[int(at) : end].tobytes(), end

    def slice(self, from_offset: int) -> "RecordColumns":
        """Return the records at `from_offset` and after it; the buffer is shared."""
        first = int(np.searchsorted(self.offset, from_offset))
        return replace(
            self,
            offset=self.offset[first:],
            timestamp_ms=self.timestamp_ms[first:],
            key_start=self.key_start[first:],
            key_end=self.key_end[first:],
            value_start=self.value_start[first:],
            value_end=self.value_end[first:],
            header_start=self.header_start[first:],
            header_count=self.header_count[first:],
            unreadable=tuple(batch for batch in self.unreadable if batch.last_offset >= from_offset),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Sections:
    """Records sections in one buffer, and what their batch headers say of them.

    Parameters
    ----------
    start, end
        Shape (b,), the sections' ranges in the buffer.
    record_count
        Shape (b,), records claimed; the caller bounds it by `MIN_RECORD_SIZE`.
    base_offset, last_offset
        Shape (b,).
    base_timestamp_ms
        Shape (b,).
    append_time_ms
        Shape (b,), the broker's time for all records, or `NO_APPEND_TIME`.
    """

    start: Int64s
    end: Int64s
    record_count: Int64s
    base_offset: Int64s
    last_offset: Int64s
    base_timestamp_ms: Int64s
    append_time_ms: Int64s


def _range_bytes(buffer: Bytes, start: int, end: int) -> bytes | None:
    return None if start < 0 else buffer[start:end].tobytes()


def read_batch_header(fetched: memoryview, at: int) -> BatchHeader:
    """Return the batch header at a position; at least `HEADER_SIZE` bytes must follow it.

    Raises
    ------
    struct.error
        When fewer bytes follow.
    """
    (
        base_offset,
        length,
        _leader_epoch,
        magic,
        crc,
        attributes,
        last_delta,
        base_timestamp_ms,
        max_timestamp_ms,
        producer_id,
        _producer_epoch,
        _base_sequence,
        record_count,
    ) = _HEADER.unpack_from(fetched, at)
    return BatchHeader(
        base_offset=base_offset,
        last_offset=base_offset + last_delta,
        size=length + 12,
        magic=magic,
        crc=crc,
        codec=attributes & 7,
        is_append_time=bool(attributes & 8),
        is_transactional=bool(attributes & 16),
        is_control=bool(attributes & 32),
        base_timestamp_ms=base_timestamp_ms,
        max_timestamp_ms=max_timestamp_ms,
        producer_id=producer_id,
        record_count=record_count,
    )


def decode_sections(
    buffer: Bytes,
    sections: Sections,
    memory: Bytes,
    *,
    topic: str,
    partition: int,
    from_offset: int,
    next_offset: int,
    high_watermark: int,
) -> tuple[RecordColumns, Int32s]:
    """Return the records of all sections, and a status for each section.

    Parameters
    ----------
    buffer, sections
        Joined sections, and where each lies.
    memory
        Where the columns are written: at least `COLUMN_BYTES` for each claimed record, contiguous, 8-byte aligned.
    topic, partition, next_offset, high_watermark
        As the columns carry them.
    from_offset
        Records before it are left out: a fetch begins with the batch that holds it.

    Returns
    -------
    columns
        A section with a fault contributes no record.
    status
        Shape (b,), `SECTION_OK` or a key of `SECTION_FAULTS`.
    """
    capacity = int(sections.record_count.sum())
    columns_memory = memory[: capacity * COLUMN_BYTES].view(np.int64).reshape(COLUMN_BYTES // 8, capacity)
    offset, timestamp_ms, key_start, key_end, value_start, value_end, header_start, last = columns_memory
    header_count = last.view(np.int32)[:capacity]
    status = np.zeros(len(sections.start), np.int32)
    n = _walk(
        buffer,
        sections.start,
        sections.end,
        sections.record_count,
        sections.base_offset,
        sections.last_offset,
        sections.base_timestamp_ms,
        sections.append_time_ms,
        from_offset,
        offset,
        timestamp_ms,
        key_start,
        key_end,
        value_start,
        value_end,
        header_start,
        header_count,
        status,
    )
    columns = RecordColumns(
        topic=topic,
        partition=partition,
        buffer=buffer,
        offset=offset[:n],
        timestamp_ms=timestamp_ms[:n],
        key_start=key_start[:n],
        key_end=key_end[:n],
        value_start=value_start[:n],
        value_end=value_end[:n],
        header_start=header_start[:n],
        header_count=header_count[:n],
        next_offset=next_offset,
        high_watermark=high_watermark,
    )
    return columns, status


@njit(cache=True, nogil=True, inline="always")
def read_varint(buffer: Bytes, at: int, end: int) -> tuple[Any, Any, int]:
    """Return a zigzag integer, the position after it, and a section status."""
    if at >= end:
        return 0, at, SECTION_TRUNCATED
    byte = np.int64(buffer[at])
    at += 1
    if byte < 128:
        return (byte >> 1) ^ -(byte & 1), at, SECTION_OK
    raw = np.uint64(byte & 127)
    shift = 7
    while True:
        if at >= end:
            return 0, at, SECTION_TRUNCATED
        byte = np.int64(buffer[at])
        at += 1
        if shift == 63 and byte > 1:
            return 0, at, SECTION_VARINT
        raw |= np.uint64(byte & 127) << np.uint64(shift)
        if byte < 128:
            break
        shift += 7
        if shift > 63:
            return 0, at, SECTION_VARINT
    return np.int64(raw >> np.uint64(1)) ^ -np.int64(raw & np.uint64(1)), at, SECTION_OK


@njit(cache=True, nogil=True)
def _skip_headers(buffer: Bytes, at: int, end: int, count: int) -> tuple[Any, int]:
    """Return the position after `count` headers and a section status."""
    for _ in range(count):
        size, at, fault = read_varint(buffer, at, end)
        if fault != 0:
            return at, fault
        if size < 0 or size > end - at:
            return at, SECTION_LENGTH
        at += size
        size, at, fault = read_varint(buffer, at, end)
        if fault != 0:
            return at, fault
        if size > end - at or size < -1:
            return at, SECTION_LENGTH
        if size > 0:
            at += size
    return at, SECTION_OK


@njit(cache=True, nogil=True)
def _walk(
    buffer: Bytes,
    start: Int64s,
    end: Int64s,
    record_count: Int64s,
    base_offset: Int64s,
    last_offset: Int64s,
    base_timestamp_ms: Int64s,
    append_time_ms: Int64s,
    from_offset: int,
    out_offset: Int64s,
    out_timestamp_ms: Int64s,
    out_key_start: Int64s,
    out_key_end: Int64s,
    out_value_start: Int64s,
    out_value_end: Int64s,
    out_header_start: Int64s,
    out_header_count: Int32s,
    status: Int32s,
) -> int:
    """Walk all sections; return how many records were written."""
    n = 0
    for section in range(len(start)):
        n_before = n
        at = start[section]
        section_end = end[section]
        previous = np.int64(-1)
        last_delta = last_offset[section] - base_offset[section]
        fault = SECTION_OK
        for _ in range(record_count[section]):
            size, at, fault = read_varint(buffer, at, section_end)
            if fault != 0:
                break
            if size < 1 or size > section_end - at:
                fault = SECTION_TRUNCATED
                break
            record_end = at + size
            at += 1  # the record's attributes: none is assigned
            time_delta, at, fault = read_varint(buffer, at, record_end)
            if fault != 0:
                break
            delta, at, fault = read_varint(buffer, at, record_end)
            if fault != 0:
                break
            if delta <= previous or delta > last_delta:
                fault = SECTION_OFFSET
                break
            previous = delta
            key_size, at, fault = read_varint(buffer, at, record_end)
            if fault != 0:
                break
            if key_size < -1 or key_size > record_end - at:
                fault = SECTION_LENGTH
                break
            key_start = np.int64(-1)
            key_end = np.int64(-1)
            if key_size >= 0:
                key_start = at
                at += key_size
                key_end = at
            value_size, at, fault = read_varint(buffer, at, record_end)
            if fault != 0:
                break
            if value_size < -1 or value_size > record_end - at:
                fault = SECTION_LENGTH
                break
            value_start = np.int64(-1)
            value_end = np.int64(-1)
            if value_size >= 0:
                value_start = at
                at += value_size
                value_end = at
            headers, at, fault = read_varint(buffer, at, record_end)
            if fault != 0:
                break
            if headers < 0 or headers > record_end - at:
                fault = SECTION_LENGTH
                break
            header_start = at
            if headers > 0:
                at, fault = _skip_headers(buffer, at, record_end, headers)
                if fault != 0:
                    break
            if at != record_end:
                fault = SECTION_LENGTH
                break
            record_offset = base_offset[section] + delta
            if record_offset >= from_offset:
                out_offset[n] = record_offset
                if append_time_ms[section] != NO_APPEND_TIME:
                    out_timestamp_ms[n] = append_time_ms[section]
                else:
                    out_timestamp_ms[n] = base_timestamp_ms[section] + time_delta
                out_key_start[n] = key_start
                out_key_end[n] = key_end
                out_value_start[n] = value_start
                out_value_end[n] = value_end
                out_header_start[n] = header_start
                out_header_count[n] = headers
                n += 1
        if fault == SECTION_OK and at != section_end:
            fault = SECTION_TRAILING
        if fault != SECTION_OK:
            status[section] = fault
            n = n_before
    return n

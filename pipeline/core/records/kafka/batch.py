"""Kafka record batches of format 2, decoded to columns without an object per record.

A fetch of a partition is a row of batches. Who fetches (`pipeline.runtime.engine.record_fetch`) checks and decompresses
them and joins their records sections to one buffer; here one compiled pass walks all sections and writes where each
record's key, value and headers lie. Nothing is copied, and nothing outside a section is read, whatever the bytes say.

Source: Apache Kafka, protocol guide, "Record Batch" and "Record" (magic 2).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.core.compiled import Array, Bytes, Int, Ints, compiled
from pipeline.core.records.kafka.columns import RecordColumns
from pipeline.core.records.kafka.section_faults import (
    SECTION_LENGTH,
    SECTION_OFFSET,
    SECTION_OK,
    SECTION_TRAILING,
    SECTION_TRUNCATED,
)
from pipeline.core.records.kafka.varint import read_varint

MIN_RECORD_SIZE: Final = 7  # seven varints and bytes, each of one byte: a record without key, value and headers
NO_APPEND_TIME: Final = np.iinfo(np.int64).min
COLUMN_BYTES: Final = 64
"""Memory that the columns need for a record."""


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

    start: Ints
    end: Ints
    record_count: Ints
    base_offset: Ints
    last_offset: Ints
    base_timestamp_ms: Ints
    append_time_ms: Ints


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
) -> tuple[RecordColumns, Array]:
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


@compiled
def _skip_headers(buffer: Bytes, at: Int, end: Int, count: Int) -> tuple[Int, int]:
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


@compiled
def _walk(
    buffer: Bytes,
    start: Ints,
    end: Ints,
    record_count: Ints,
    base_offset: Ints,
    last_offset: Ints,
    base_timestamp_ms: Ints,
    append_time_ms: Ints,
    from_offset: int,
    out_offset: Ints,
    out_timestamp_ms: Ints,
    out_key_start: Ints,
    out_key_end: Ints,
    out_value_start: Ints,
    out_value_end: Ints,
    out_header_start: Ints,
    out_header_count: Array,
    status: Array,
) -> int:
    """Walk all sections; return how many records were written."""
    n = 0
    for section in range(len(start)):
        n_before = n
        at = start[section]
        section_end = end[section]
        previous: Int = -1
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
            key_start: Int = -1
            key_end: Int = -1
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
            value_start: Int = -1
            value_end: Int = -1
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

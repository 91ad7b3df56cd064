"""The header of a Kafka record batch of format 2.

Source: Apache Kafka, protocol guide, "Record Batch" (magic 2).
"""

import struct
from dataclasses import dataclass
from typing import Final

HEADER_SIZE: Final = 61
MAGIC_OFFSET: Final = 16
CRC_START: Final = 21

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

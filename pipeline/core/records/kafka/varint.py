"""Kafka's integers of variable length.

Source: Apache Kafka, protocol guide, "Protocol Primitive Types" (VARINT, VARLONG: zig-zag, base 128).
"""

import numpy as np

from pipeline.core.compiled import Bytes, Int, compiled_inline
from pipeline.core.records.kafka.section_faults import SECTION_OK, SECTION_TRUNCATED, SECTION_VARINT


@compiled_inline
def read_varint(buffer: Bytes, at: Int, end: Int) -> tuple[Int, Int, int]:
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

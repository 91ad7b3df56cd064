"""The records of a fetch as columns: where each record's key, value and headers lie in one buffer."""

from dataclasses import dataclass, replace

import numpy as np

from pipeline.core.compiled import Array, Bytes, Ints
from pipeline.core.records.kafka.varint import read_varint


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
    offset: Ints
    timestamp_ms: Ints
    key_start: Ints
    key_end: Ints
    value_start: Ints
    value_end: Ints
    header_start: Ints
    header_count: Array
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
        size, start, _ = read_varint(self.buffer, at, len(self.buffer))
        end = int(start) + max(int(size), 0)
        return self.buffer[int(start) : end].tobytes(), end

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


def _range_bytes(buffer: Bytes, start: int, end: int) -> bytes | None:
    return None if start < 0 else buffer[start:end].tobytes()

"""What the aggregate stage saves of a partition, as one small record, and how it is written and read."""

import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from pipeline.core.compiled import Ints

_VERSION = 1
_TIMES = ("newest_ms", "idle_ms", "floor_ms", "seen_ms")
_MAX_UNPACKED_BYTES = 1 << 30


class CheckpointError(ValueError):
    """A checkpoint record that cannot be read."""


@dataclass(frozen=True, slots=True, eq=False)
class AggregateCheckpoint:
    """Where to go on with a partition, valid once everything emitted before it is acknowledged.

    Attributes
    ----------
    offset : int
        Smallest offset that a kept window was fed from: reading goes on there.
    highest_offset : int
        Greatest offset processed: records up to it are folded silently.
    partition_ms : int
        The partition's event time.
    resources : tuple of str
        Names of all resources.
    newest_ms, idle_ms, floor_ms, seen_ms : int64[resources]
        Each resource's greatest event time, the end of its windows that were closed for silence, of those that are
        forgotten, and the partition's time when it was last heard.
    rejected : mapping of str to (number, offset)
        Rows (by identity) with a kept window that samples were too late for: its number, and the newest offset in it.
    origins : mapping of int to (offset, part)
        Newest re-keyed record folded, by the partition it came from.
    log_id : str
        The log that the offsets are of; empty where that is not known.
    """

    offset: int
    highest_offset: int
    partition_ms: int
    resources: tuple[str, ...]
    newest_ms: Ints
    idle_ms: Ints
    floor_ms: Ints
    seen_ms: Ints
    rejected: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    origins: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    log_id: str = ""

    def to_bytes(self) -> bytes:
        """Write the checkpoint as JSON, the resources' names and times compressed inside it."""
        times = np.stack([getattr(self, name) for name in _TIMES])
        packed = zlib.compress(orjson.dumps(self.resources) + b"\n" + times.astype("<i8").tobytes(), 1)
        return orjson.dumps(
            {
                "version": _VERSION,
                "log_id": self.log_id,
                "offset": self.offset,
                "highest_offset": self.highest_offset,
                "partition_ms": self.partition_ms,
                "rejected": self.rejected,
                "origins": {str(partition): place for partition, place in self.origins.items()},
                "resource_count": len(self.resources),
                "resources": b64encode(packed).decode(),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "AggregateCheckpoint":
        """Read a checkpoint.

        Raises
        ------
        CheckpointError
            If ``data`` is not what :meth:`to_bytes` writes.
        """
        try:
            document: dict[str, Any] = orjson.loads(data)
            version, count = document["version"], int(document["resource_count"])
            unpacked = _decompressed(document["resources"])
            times_size = 8 * len(_TIMES) * count
            names, times = unpacked[: len(unpacked) - times_size - 1], unpacked[len(unpacked) - times_size :]
            columns = np.frombuffer(times, "<i8").reshape(len(_TIMES), count).astype(np.int64)
            checkpoint = cls(
                int(document["offset"]),
                int(document["highest_offset"]),
                int(document["partition_ms"]),
                tuple(str(name) for name in orjson.loads(names)),
                columns[0],
                columns[1],
                columns[2],
                columns[3],
                {str(row): (int(number), int(offset)) for row, (number, offset) in document["rejected"].items()},
                {int(key): (int(offset), int(part)) for key, (offset, part) in document["origins"].items()},
                str(document.get("log_id", "")),
            )
        except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
            raise CheckpointError(f"unreadable checkpoint of {len(data)} bytes: {error}") from error
        if version != _VERSION or len(checkpoint.resources) != count:
            raise CheckpointError(f"checkpoint of version {version!r} with {count} resources; known is {_VERSION}")
        return checkpoint


def _decompressed(text: str) -> bytes:
    """Decompress base64 text, to a bounded size."""
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(b64decode(text, validate=True), _MAX_UNPACKED_BYTES)
    if not unpacker.eof:
        raise CheckpointError(f"more than {_MAX_UNPACKED_BYTES} bytes, or cut off")
    return unpacked

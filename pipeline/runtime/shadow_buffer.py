"""A second place for a stage's state: it is copied there at once, and written from there while the stage goes on."""

from collections.abc import Callable
from typing import Final

import numpy as np

from pipeline.core.snapshot import Piece, Snapshot, layout_of

ROOM: Final = 1.25
"""How much larger than the state the buffer is made: a fleet that grows does not outgrow it each time."""
_ALIGNMENT: Final = 64
_TOUCHED_BYTES: Final = 16 * 1024 * 1024


class ShadowBuffer:
    """Memory that snapshots are copied to, used again and again; a copy runs at the memory's speed."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)

    def fits(self, snapshot: Snapshot) -> bool:
        """Return whether a snapshot has room.

        Raises
        ------
        ValueError
            When the snapshot cannot be written at all (see `layout_of`).
        """
        return _size_of(snapshot) <= len(self._memory)

    def grow(self, snapshot: Snapshot, is_cancelled: Callable[[], bool]) -> None:
        """Make room for a snapshot, and touch every page: the first touch costs many times what a copy does."""
        self._memory = np.empty(0, np.uint8)
        memory = np.empty(int(_size_of(snapshot) * ROOM), np.uint8)
        for start in range(0, len(memory), _TOUCHED_BYTES):
            if is_cancelled():
                return
            memory[start : start + _TOUCHED_BYTES].fill(0)
        self._memory = memory

    def copy(self, snapshot: Snapshot) -> list[Piece]:
        """Copy a snapshot that fits; return its pieces, which hold until the next copy."""
        pieces = []
        start = 0
        for name, (dtype, shape, size) in layout_of(snapshot).items():
            place = self._memory[start : start + size]
            if name in snapshot.arrays:
                source = snapshot.arrays[name]
                np.copyto(place.view(source.dtype).reshape(source.shape), source)
            else:
                place[:] = np.frombuffer(snapshot.records[name], np.uint8)
            pieces.append(Piece(name, dtype, shape, place.data))
            start += _aligned(size)
        return pieces


def _size_of(snapshot: Snapshot) -> int:
    return sum(_aligned(size) for _, _, size in layout_of(snapshot).values())


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT

"""A second place for a stage's state: it is copied there at once, and written from there while the stage goes on."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np

from pipeline.core.compiled import Array
from pipeline.core.snapshots.snapshot import Piece, Snapshot, layout_of

ROOM: Final = 1.25
"""How much larger than the state the buffer is made: a fleet that grows does not outgrow it each time."""
_ALIGNMENT: Final = 64
_TOUCHED_BYTES: Final = 16 * 1024 * 1024
_SLICE_BYTES: Final = 4 * 1024 * 1024
"""So much a thread copies before it takes the next: a core that others use as well does less of the work."""
_THREADS: Final = min(4, os.cpu_count() or 1)
"""With the caller; a few reach the memory's speed."""


class ShadowBuffer:
    """Memory that snapshots are copied to, used again and again; a copy runs at the memory's speed."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)
        self._threads = ThreadPoolExecutor(max(1, _THREADS - 1), thread_name_prefix="shadow-copy")

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
        copies: list[tuple[Array, Array]] = []
        start = 0
        for name, (dtype, shape, size) in layout_of(snapshot).items():
            place = self._memory[start : start + size]
            if name in snapshot.arrays:
                source = snapshot.arrays[name]
                copies += _slices(place.view(source.dtype).reshape(source.shape), source)
            else:
                place[:] = np.frombuffer(snapshot.records[name], np.uint8)
            pieces.append(Piece(name, dtype, shape, place.data))
            start += _aligned(size)
        self._copy_all(copies)
        return pieces

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False)

    def _copy_all(self, copies: list[tuple[Array, Array]]) -> None:
        """Copy in several threads; each takes the next slice when it is through with one."""
        left = iter(copies)  # the next of a list is one step of the interpreter: no lock

        def work() -> None:
            for target, source in left:
                np.copyto(target, source)

        others = [self._threads.submit(work) for _ in range(_THREADS - 1) if len(copies) > 1]
        work()
        for each in others:
            each.result()


def _slices(target: Array, source: Array) -> Iterator[tuple[Array, Array]]:
    """Cut an array and its copy's place along the first axis into slices of about `_SLICE_BYTES`."""
    if source.ndim == 0 or source.nbytes <= _SLICE_BYTES:
        yield target, source
        return
    rows = max(1, len(source) * _SLICE_BYTES // source.nbytes)
    for first in range(0, len(source), rows):
        yield target[first : first + rows], source[first : first + rows]


def _size_of(snapshot: Snapshot) -> int:
    return sum(_aligned(size) for _, _, size in layout_of(snapshot).values())


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT

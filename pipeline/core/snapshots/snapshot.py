"""A stage's state of one partition, and the pieces of memory that it consists of."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES: Final = 768 * 1024
"""What a block holds: with its key and framing it fits into a record of 1 MiB, compressed or not."""
DTYPES: Final = frozenset(("|b1", "|i1", "|u1", "<i2", "<i4", "<i8", "<u2", "<u4", "<u8", "<f4", "<f8"))
"""What arrays may hold: plain numbers, never objects."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
"""What stages, records and arrays are called."""
RECORD: Final = ""
"""Stands for a record where an array has its type."""
MOST_DIMENSIONS: Final = 8


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A stage's state of one partition.

    Parameters
    ----------
    offset
        The next offset: the state is that after all records of the partition before it.
    records : mapping of str to bytes
        Small values by name, in any encoding of the stage's choice.
    arrays : mapping of str to array
        Arrays of plain numbers by name, of any shape. No name is used for a record as well.
    """

    offset: int
    records: Mapping[str, bytes] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Piece:
    """A record or an array as bytes: what blocks are cut from.

    Parameters
    ----------
    name
        Its name.
    dtype
        Of an array, as numpy writes it; empty for a record.
    shape
        Of an array; of a record its length.
    data
        Its bytes, in the order of rows.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: memoryview

    @property
    def block_count(self) -> int:
        """How many blocks it is cut into."""
        return -(-len(self.data) // BLOCK_BYTES)

    def blocks(self) -> Iterator[memoryview]:
        """Yield its blocks."""
        for start in range(0, len(self.data), BLOCK_BYTES):
            yield self.data[start : start + BLOCK_BYTES]


def layout_of(snapshot: Snapshot) -> dict[str, tuple[str, tuple[int, ...], int]]:
    """Return what a snapshot's pieces will be: dtype, shape and bytes by name, records first.

    Raises
    ------
    ValueError
        When a name is not of `NAME` or stands twice, or an array's type is not among `DTYPES`: the stage has a bug.
    """
    layout: dict[str, tuple[str, tuple[int, ...], int]] = {
        name: (RECORD, (len(value),), len(value)) for name, value in snapshot.records.items()
    }
    for name, array in snapshot.arrays.items():
        if array.dtype.str not in DTYPES or array.ndim > MOST_DIMENSIONS:
            raise ValueError(f"array {name} of {array.dtype.str}, {array.ndim} dimensions: it must hold plain numbers")
        if name in layout:
            raise ValueError(f"{name} is a record and an array")
        layout[name] = array.dtype.str, array.shape, array.nbytes
    for name in layout:
        if NAME.fullmatch(name) is None:
            raise ValueError(f"name {name!r} must be of {NAME.pattern}")
    return layout


def pieces_of(snapshot: Snapshot) -> list[Piece]:
    """Return a snapshot's pieces; an array that lies in memory as it should is not copied.

    Raises
    ------
    ValueError
        As in `layout_of`.
    """
    pieces = []
    for name, (dtype, shape, _) in layout_of(snapshot).items():
        data = snapshot.records[name] if dtype == RECORD else _bytes_of(snapshot.arrays[name])
        pieces.append(Piece(name, dtype, shape, memoryview(data)))
    return pieces


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data

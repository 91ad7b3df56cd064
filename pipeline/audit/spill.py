"""Rows on disk, in buckets by their key: two streams of any length are joined in bounded memory."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.core.compiled import Array

BUCKETS: Final = 64
GATHERED_ROWS: Final = 250_000
"""Rows kept in memory before they are written."""
JOINED_ROWS: Final = 500_000
"""Rows of one stream that are loaded at once."""
_BUCKET_SHIFT: Final = np.uint64(58)
_READ_ROWS: Final = 200_000


class Spill:
    """Rows of one kind, kept in files.

    Parameters
    ----------
    directory
        Where; whoever made it deletes it.
    kind
        Name of the rows, part of the files' names.
    dtype
        A structured type, whose first field is the key: 64 bits of a hash.
    reduce
        Makes fewer rows of many, before they are written.
    """

    def __init__(
        self, directory: Path, kind: str, dtype: "np.dtype[np.void]", reduce: Callable[[Array], Array] | None = None
    ) -> None:
        self._files = [directory / f"{kind}-{bucket}" for bucket in range(BUCKETS)]
        self._dtype = dtype
        self._key = (dtype.names or ("",))[0]
        self._reduce = reduce
        self._gathered: list[Array] = []
        self._gathered_rows = 0

    def add(self, rows: Array) -> None:
        """Take rows."""
        if len(rows):
            self._gathered.append(rows)
            self._gathered_rows += len(rows)
            if self._gathered_rows >= GATHERED_ROWS:
                self.flush()

    def flush(self) -> None:
        """Write what is gathered."""
        if not self._gathered:
            return
        rows = np.concatenate(self._gathered)
        self._gathered, self._gathered_rows = [], 0
        if self._reduce is not None:
            rows = self._reduce(rows)
        bucket = (rows[self._key] >> _BUCKET_SHIFT).astype(np.int64)
        order = np.argsort(bucket, kind="stable")
        ends = np.cumsum(np.bincount(bucket, minlength=BUCKETS)).tolist()
        start = 0
        for file, end in zip(self._files, ends, strict=True):
            if end > start:
                with file.open("ab") as out:
                    out.write(rows[order[start:end]].tobytes())
            start = end

    def rows_in(self, bucket: int) -> int:
        """Count the rows of a bucket that are written."""
        file = self._files[bucket]
        return file.stat().st_size // self._dtype.itemsize if file.exists() else 0

    def read(self, bucket: int, part: int, parts: int) -> Array:
        """Return the rows of one of ``parts`` (a power of two) parts of a bucket."""
        found = [np.zeros(0, self._dtype)]
        if self.rows_in(bucket):
            with self._files[bucket].open("rb") as file:
                while len(block := np.fromfile(file, self._dtype, _READ_ROWS)):
                    found.append(block[(block[self._key] & np.uint64(parts - 1)) == part])
        return np.concatenate(found)


def joined(one: Spill, other: Spill, most_rows: int = JOINED_ROWS) -> Iterator[tuple[Array, Array]]:
    """Yield the rows of both by their keys: all rows of a key come together, and not many more than ``most_rows``."""
    one.flush()
    other.flush()
    for bucket in range(BUCKETS):
        most = max(one.rows_in(bucket), other.rows_in(bucket))
        parts = 1 << max(0, (most - 1) // most_rows).bit_length()
        for part in range(parts):
            if most:
                yield one.read(bucket, part, parts), other.read(bucket, part, parts)

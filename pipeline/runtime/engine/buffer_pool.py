"""Large buffers used again as soon as nobody refers to them.

A fetch needs a few megabytes for a moment. Fresh memory of that size comes from the kernel page by page, which costs
more than decompressing into it (measured: 0.25 of 0.35 µs a record on a virtual machine).
"""

import sys
from typing import Final

import numpy as np

from pipeline.core.compiled import Bytes

SMALLEST_BYTES: Final = 64 * 1024
_REFERENCES_WHEN_FREE: Final = 3  # the pool's list, the loop's variable and getrefcount's own parameter


class BufferPool:
    """Hands out byte arrays; for one thread.

    Parameters
    ----------
    kept_bytes
        How much is kept for reuse. More may be in use: what goes beyond is left to the allocator.
    """

    def __init__(self, kept_bytes: int = 256 * 1024 * 1024) -> None:
        self._kept_bytes = kept_bytes
        self._buffers: list[Bytes] = []

    def take(self, size: int) -> Bytes:
        """Return a writable array of shape (size,), its contents undefined.

        It goes back to the pool when the last array or memoryview over it is gone.
        """
        for buffer in self._buffers:
            if len(buffer) >= size and sys.getrefcount(buffer) == _REFERENCES_WHEN_FREE:
                return buffer[:size]
        buffer = np.empty(max(SMALLEST_BYTES, 1 << (size - 1).bit_length()), np.uint8)
        self._buffers.append(buffer)
        self._buffers.sort(key=len)
        while sum(map(len, self._buffers)) > self._kept_bytes:
            self._buffers.pop()
        return buffer[:size]

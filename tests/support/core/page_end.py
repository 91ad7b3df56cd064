"""Parse records that end where readable memory ends: whoever reads a byte too far dies of it.

Run as a process of its own by the tests of the fast parser:
``python -m tests.support.core.page_end COUNT SEED``.
"""

import ctypes
import mmap
import random
import sys
from collections.abc import Sequence

import numpy as np

from pipeline.core.records.telegraf.parser import RecordBatch
from tests.support.core.parsing import RECORD_MS, new_parser, parsed, parsed_plainly
from tests.support.core.telegraf_like import damaged, random_value

PROT_NONE = 0


class LastPage:
    """Memory whose last readable byte lies before a page that must not be touched, and so for its first."""

    def __init__(self, pages: int) -> None:
        size = mmap.PAGESIZE
        self._memory = mmap.mmap(-1, (pages + 2) * size)
        self._array = np.frombuffer(self._memory, np.uint8)
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        address = self._array.ctypes.data
        for page in (address, address + (pages + 1) * size):
            if libc.mprotect(page, size, PROT_NONE):
                raise OSError(ctypes.get_errno(), "mprotect")
        self.readable = self._array[size : (pages + 1) * size]

    def batch(self, value: bytes, *, at_end: bool) -> RecordBatch:
        """Return a batch of one record that ends where the memory ends, or begins where it begins."""
        start = len(self.readable) - len(value) if at_end else 0
        buffer = self.readable[start : start + len(value)]
        buffer[:] = np.frombuffer(value, np.uint8)
        return RecordBatch(
            buffer=buffer,
            value_start=np.zeros(1, np.int64),
            value_end=np.array([len(value)], np.int64),
            offset=np.zeros(1, np.int64),
            timestamp_ms=np.array([RECORD_MS], np.int64),
        )


def main(arguments: Sequence[str]) -> None:
    """Parse COUNT random records, whole and cut off anywhere."""
    r = random.Random(int(arguments[1]))
    memory = LastPage(4)
    parser, table = new_parser()
    for number in range(int(arguments[0])):
        value = random_value(r)
        if r.random() < 0.5:
            value = value[: r.randrange(1, len(value) + 1)] if r.random() < 0.5 else damaged(r, value)
        if not 0 < len(value) <= len(memory.readable):
            continue
        batch = memory.batch(value, at_end=number % 3 > 0)
        got = parsed(parser, batch)
        if got != [parsed_plainly(table, value, parser._options)]:
            raise SystemExit(f"differs from the plain parsers: {value!r}")


if __name__ == "__main__":
    main(sys.argv[1:])

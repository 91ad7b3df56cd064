"""Records of windows as rows, one for each field: what is compared is hashes."""

from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import orjson

from pipeline.audit.spill import Spill
from pipeline.core.audit.checks import WINDOW_ROW
from pipeline.core.audit.hashes import cell_hashes, identity_text, text_hash, window_hashes
from pipeline.core.audit.values import numbers_of, value_hashes
from pipeline.core.compiled import Array

_GATHERED_FIELDS: Final = 50_000
_field_hash = lru_cache(maxsize=100_000)(text_hash)
_COLUMNS: Final = (
    "end_ms",
    "revision",
    "raw_partition",
    "first_offset",
    "offset",
    "partition",
    "content",
    "store",
    "state",
)


class WindowRows:
    """Makes ``WINDOW_ROW`` rows of records.

    Parameters
    ----------
    spill
        Where they go.
    deep
        Whether the values count, beside the counts.
    """

    def __init__(self, spill: Spill, *, deep: bool) -> None:
        self._spill = spill
        self._deep = deep
        self._records: list[tuple[int, ...]] = []
        self._fields: list[tuple[int, int]] = []
        self._numbers: list[tuple[float, ...]] = []

    def add(self, record: dict[str, Any], partition: int, offset: int, *, store: int = -1, state: int = 0) -> None:
        """Take a record of ``metrics.agg`` and its place.

        Raises
        ------
        KeyError, TypeError, ValueError, AttributeError
            When it is none; nothing of it is kept then.
        """
        fields = [
            (_field_hash(name), int(functions["count"]), numbers_of(functions) if self._deep else ())
            for name, functions in record["fields"].items()
        ]
        content = {name: value for name, value in record.items() if name != "schema_version"}  # not in old records
        digest = blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=8).digest()
        identity = text_hash(identity_text(record["measurement"], record["tags"]))
        columns = (record["end_ms"], record["revision"], record["partition"], record["first_offset"])
        place = (offset, partition, int.from_bytes(digest, "little"), store, state)
        self._records.append((identity, record["start_ms"], len(fields), *columns, *place))
        for name, count, numbers in fields:
            self._fields.append((name, count))
            self._numbers.append(numbers)
        if len(self._fields) >= _GATHERED_FIELDS:
            self.flush()

    def flush(self) -> None:
        """Hand over what is gathered."""
        if self._fields:
            self._spill.add(self._rows())
        self._records, self._fields, self._numbers = [], [], []

    def _rows(self) -> Array:
        identity, start_ms, fields, *columns = zip(*self._records, strict=True)
        repeats = np.array(fields)
        windows = window_hashes(np.array(identity, np.uint64), np.array(start_ms, np.int64))
        rows = np.zeros(len(self._fields), WINDOW_ROW)
        rows["window"] = np.repeat(windows, repeats)
        rows["cell"] = cell_hashes(rows["window"], np.array([name for name, _ in self._fields], np.uint64))
        rows["count"] = [count for _, count in self._fields]
        for name, column in zip(_COLUMNS, columns, strict=True):
            rows[name] = np.repeat(np.array(column, WINDOW_ROW[name]), repeats)
        if self._deep:
            rows["values"], rows["stored"] = value_hashes(np.array(self._numbers, np.float64))
        return rows

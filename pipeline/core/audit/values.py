"""Values stood for by hashes that add up, so that windows from several places can be compared value by value."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from pipeline.core.audit.checks import is_cut, latest_records, places, record_faults
from pipeline.core.audit.hashes import Hashes, merged_by, mixed, text_hash
from pipeline.core.compiled import Array, Ints
from pipeline.core.influx.windows import STORED_FUNCTIONS

CLOSED, OPEN, DOUBTFUL = 0, 1, 2
"""States of a recomputed window: closed by event time; closed only since the samples end; not known exactly, as its
resource may have been forgotten by the worker's clock."""

STORE_ROW: Final = np.dtype([("window", np.uint64), ("cell", np.uint64), ("stored", np.uint64), ("start_ms", np.int64)])
"""What a store has of one cell; rows of one cell add up."""

_FUNCTIONS: Final = (*STORED_FUNCTIONS, "first", "sum")
_FUNCTION_HASH: Final = {name: text_hash(name) for name in _FUNCTIONS}
_FUNCTION_HASHES: Final = np.array(list(_FUNCTION_HASH.values()), np.uint64)


def numbers_of(functions: Mapping[str, Any]) -> tuple[float, ...]:
    """Return a field's values in the order that `value_hashes` takes them; NaN for what is absent."""
    return tuple(float(np.nan if (value := functions.get(name)) is None else value) for name in _FUNCTIONS)


def value_hashes(numbers: Array) -> tuple[Hashes, Hashes]:
    """Return for each field (float64[fields, functions]) what stands for all its values, and for those in stores."""
    hashes = mixed(_FUNCTION_HASHES ^ mixed((numbers + 0.0).view(np.uint64)))  # + 0.0: -0.0 is 0.0
    hashes[np.isnan(numbers)] = 0
    return hashes.sum(axis=1, dtype=np.uint64), hashes[:, : len(STORED_FUNCTIONS)].sum(axis=1, dtype=np.uint64)


def stored_hashes(functions: list[str], values: list[float]) -> Hashes:
    """Return what stands for single values of functions; those of one field add up to its ``stored`` hash."""
    names = np.array([_FUNCTION_HASH[name] for name in functions], np.uint64)
    return mixed(names ^ mixed((np.array(values, np.float64) + 0.0).view(np.uint64)))


def merged_store(rows: Array) -> Array:
    """Return ``STORE_ROW`` rows with one for each cell, ordered by cell."""
    return merged_by(rows, ("stored",))


def compare_values(records: Array, again: Array, read_from: Ints, processed_until: Ints) -> Array:
    """Return the cells (FAULT_ROW) whose latest values differ from those that were computed again.

    Parameters
    ----------
    records, again : WINDOW_ROW[any]
        All records of some windows, and all that were computed again of the same windows, by the samples that the
        worker has processed.
    read_from, processed_until : int64[partitions]
        First offset that was computed from, and the last.
    """
    latest = latest_records(records)[0]
    doubtful = np.unique(again["window"][again["state"] == DOUBTFUL])
    expected = latest_records(again[again["state"] != DOUBTFUL])[0]
    if not len(latest) or not len(expected):
        return record_faults(latest[:0])
    partition = np.clip(latest["raw_partition"], 0, len(read_from) - 1)
    checked = (
        ~is_cut(latest, read_from)
        & (latest["revision"] <= processed_until[partition])
        & ~np.isin(latest["window"], doubtful)
    )
    windows = expected[np.unique(expected["window"], return_index=True)[1]]
    at = places(windows["window"], latest["window"])
    is_stale = (latest["revision"] < windows["revision"][at]) & (windows["state"][at] == OPEN)
    checked &= (at >= 0) & ~is_stale
    expected = expected[np.argsort(expected["cell"])]
    at = places(expected["cell"], latest["cell"])
    same = (at >= 0) & (expected["values"][at] == latest["values"]) & (expected["revision"][at] == latest["revision"])
    return record_faults(latest[checked & ~same])


class StoreCheck(NamedTuple):
    """What a store came to.

    Attributes
    ----------
    missing, wrong : FAULT_ROW[faults]
        Cells of ``metrics.agg`` that it has not, or with other values.
    extra : STORE_ROW[faults]
        Cells that ``metrics.agg`` has not.
    waiting : int
        Cells that are not written yet.
    """

    missing: Array
    wrong: Array
    extra: Array
    waiting: int


def compare_store(
    records: Array, kept: Array, *, store: int, written_until: Ints, rejected: Ints, oldest_ms: int
) -> StoreCheck:
    """Compare all records of some windows with what a store has of the same windows.

    Parameters
    ----------
    records : WINDOW_ROW[any]
        Their rows.
    kept : STORE_ROW[any]
        The store's.
    store
        The store's number in ``records``.
    written_until : int64[partitions]
        By partition of ``metrics.agg``, the first offset that the store need not have yet.
    rejected : int64[any]
        Places (`place_numbers`) of the records that it refused.
    oldest_ms
        Windows that end by then need not be there.
    """
    latest = latest_records(records)[0]
    latest = latest[np.argsort(latest["cell"])]
    kept = merged_store(kept)
    mine = latest["store"] == store
    waiting = mine & (latest["offset"] >= written_until[latest["partition"]])
    undecided = waiting | np.isin(place_numbers(latest["partition"], latest["offset"]), rejected)
    checked = mine & ~undecided & (latest["end_ms"] > oldest_ms)
    at = places(kept["cell"], latest["cell"])
    same = np.zeros(len(latest), np.bool_)
    if len(kept):
        same = (at >= 0) & (kept["stored"][at] == latest["stored"])
    known = np.isin(kept["cell"], latest["cell"][mine]) | np.isin(kept["window"], latest["window"][undecided])
    return StoreCheck(
        missing=record_faults(latest[checked & (at < 0)]),
        wrong=record_faults(latest[checked & (at >= 0) & ~same]),
        extra=kept[~known],
        waiting=int(waiting.sum()),
    )


def place_numbers(partition: Array, offset: Array) -> Array:
    """Return one number for a partition and an offset."""
    return offset.astype(np.int64) * 65_536 + partition

"""What is counted, beside what should be: the samples of some windows joined with what ``metrics.agg`` says of them."""

from typing import Final, NamedTuple

import numpy as np

from pipeline.core.audit.samples import merged
from pipeline.core.compiled import Array, Ints

WINDOW_ROW: Final = np.dtype(
    [
        ("window", np.uint64),
        ("cell", np.uint64),
        ("content", np.uint64),
        ("revision", np.int64),
        ("end_ms", np.int64),
        ("first_offset", np.int64),
        ("offset", np.int64),
        ("count", np.int64),
        ("partition", np.int32),
        ("raw_partition", np.int32),
        ("store", np.int32),
        ("state", np.int32),
        ("values", np.uint64),
        ("stored", np.uint64),
    ]
)
"""A field of a record of ``metrics.agg``: ``offset`` and ``partition`` are the record's, ``content`` stands for all in
it, ``first_offset`` and ``raw_partition`` are what it says of its samples. A deep audit fills the last four: its store,
a state of `pipeline.core.audit.values`, and what stands for all its values and for those in stores."""

FAULT_ROW: Final = np.dtype(
    [
        ("end_ms", np.int64),
        ("raw_partition", np.int32),
        ("raw_offset", np.int64),
        ("partition", np.int32),
        ("offset", np.int64),
        ("cell", np.uint64),
        ("found", np.int64),
        ("least", np.int64),
        ("most", np.int64),
    ]
)
"""A cell that is wrong. ``raw_offset`` is -1 where there is no sample, ``offset`` -1 where there is no record."""

IN_WINDOWS, TOO_LATE, OPEN, WAITING, UNKNOWN = 0, 1, 2, 3, 4
"""Where a sample is: the columns of `WindowChecks.samples`."""


class WindowChecks(NamedTuple):
    """What some windows came to.

    Attributes
    ----------
    windows : int
        Windows that ``metrics.agg`` has, by their latest revisions.
    cut : int
        Those of them that were made from samples before what was read: they cannot be checked.
    samples : int64[partitions, 5]
        Samples by partition of ``metrics.raw`` and where they are.
    missing, miscounted, contradicting : FAULT_ROW[faults]
        Windows that must be there and are not; cells whose count is wrong; records of one window and revision that say
        different things.
    """

    windows: int
    cut: int
    samples: Array
    missing: Array
    miscounted: Array
    contradicting: Array


def latest_records(rows: Array) -> tuple[Array, Array]:
    """Return the rows of each window's latest revision, of one record only, and those that contradict it.

    The result is ordered by window.
    """
    rows = rows[np.lexsort((rows["offset"], rows["partition"], -rows["revision"], rows["window"]))]
    window = rows["window"]
    begins = np.flatnonzero(np.concatenate([[True], window[1:] != window[:-1]])) if len(rows) else np.zeros(0, np.int64)
    first = rows[np.repeat(begins, np.diff(np.concatenate([begins, [len(rows)]])))]
    latest = rows["revision"] == first["revision"]
    contradicting = rows[latest & (rows["content"] != first["content"])]
    same_record = (rows["offset"] == first["offset"]) & (rows["partition"] == first["partition"])
    return rows[latest & same_record], contradicting


def check_windows(
    samples: Array, windows: Array, closed_until: list[tuple[Ints, Ints]], read_from: Ints
) -> WindowChecks:
    """Compare all samples of some windows with all records of the same windows.

    Parameters
    ----------
    samples : SAMPLE_ROW[any]
        Rows of the samples.
    windows : WINDOW_ROW[any]
        Rows of the records.
    closed_until
        For each partition of ``metrics.raw``, and in it for each resource: its newest processed time, by which the
        windows are closed that end by it less their grace; and the time up to which silence has closed its windows.
    read_from : int64[partitions]
        First offset of each partition that was read: records that were made from samples before it cannot be checked.
    """
    records, contradicting = latest_records(windows)
    cells = merged(samples)
    records = records[np.argsort(records["cell"])]

    at = places(records["cell"], cells["cell"])
    found = np.where(at >= 0, records["count"][at], 0) if len(records) else np.zeros(len(cells), np.int64)
    by_window = records[np.unique(records["window"], return_index=True)[1]]
    at_window = places(by_window["window"], cells["window"])
    has_window = at_window >= 0
    most = cells["total"] - cells["out"]
    cut = np.zeros(len(cells), np.bool_)
    if len(records):
        cut = has_window & is_cut(by_window[at_window], read_from)
    closed = _closed(cells, closed_until)
    missing = closed & ~has_window & (cells["sure"] > 0)
    wrong = has_window & ~cut & ((found > most) | (closed & (found < cells["sure"])))

    faults = _faults(cells[wrong | missing])
    where = np.flatnonzero(wrong | missing)
    faults["found"], faults["least"], faults["most"] = found[where], cells["sure"][where], most[where]
    if len(records):
        faults["offset"] = np.where(has_window[where], by_window["offset"][at_window[where]], -1)
        faults["partition"] = np.where(has_window[where], by_window["partition"][at_window[where]], -1)

    unexplained = records[(places(cells["cell"], records["cell"]) < 0) & ~is_cut(records, read_from)]
    return WindowChecks(
        windows=len(by_window),
        cut=int(is_cut(by_window, read_from).sum()),
        samples=_tally(cells, found, closed, cut, len(read_from)),
        missing=faults[missing[where]],
        miscounted=np.concatenate([faults[wrong[where]], record_faults(unexplained)]),
        contradicting=record_faults(contradicting),
    )


def places(ordered: Array, wanted: Array) -> Array:
    """Return where each of ``wanted`` is in ``ordered``, -1 where it is not."""
    if len(ordered) == 0:
        return np.full(len(wanted), -1, np.int64)
    at = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return np.where(ordered[at] == wanted, at, -1)


def is_cut(records: Array, read_from: Ints) -> Array:
    """Return which ``WINDOW_ROW`` rows were made from samples before the first offsets that were read."""
    partition = records["raw_partition"]
    known = (partition >= 0) & (partition < len(read_from))
    if len(read_from) == 0:
        return ~known
    return known & (records["first_offset"] < read_from[np.where(known, partition, 0)])


def _closed(cells: Array, closed_until: list[tuple[Ints, Ints]]) -> Array:
    closed = np.zeros(len(cells), np.bool_)
    for partition, (newest_ms, silent_ms) in enumerate(closed_until):
        mine = np.flatnonzero(cells["partition"] == partition)
        if len(mine):
            resource, end_ms = cells["resource"][mine], cells["end_ms"][mine]
            closed[mine] = (newest_ms[resource] - cells["grace_ms"][mine] >= end_ms) | (silent_ms[resource] >= end_ms)
    return closed


def _tally(cells: Array, found: Array, closed: Array, cut: Array, partitions: int) -> Array:
    samples = np.zeros((partitions, 5), np.int64)
    taken = np.minimum(found, cells["total"] - cells["out"])
    waiting = np.minimum(cells["waiting"], cells["total"] - taken)
    left = cells["total"] - taken - waiting
    for column, count in (
        (IN_WINDOWS, np.where(cut, 0, taken)),
        (TOO_LATE, np.where(closed & ~cut, left, np.where(cut, 0, np.minimum(left, cells["out"])))),
        (OPEN, np.where(closed | cut, 0, np.maximum(left - cells["out"], 0))),
        (WAITING, np.where(cut, 0, waiting)),
        (UNKNOWN, np.where(cut, cells["total"], 0)),
    ):
        np.add.at(samples[:, column], cells["partition"], count)
    return samples


def _faults(cells: Array) -> Array:
    faults = np.zeros(len(cells), FAULT_ROW)
    faults["end_ms"], faults["cell"] = cells["end_ms"], cells["cell"]
    faults["raw_partition"], faults["raw_offset"] = cells["partition"], cells["first_offset"]
    faults["partition"] = faults["offset"] = -1
    return faults


def record_faults(records: Array) -> Array:
    """Return ``FAULT_ROW`` rows of ``WINDOW_ROW`` rows."""
    faults = np.zeros(len(records), FAULT_ROW)
    faults["end_ms"], faults["cell"] = records["end_ms"], records["cell"]
    faults["raw_partition"], faults["raw_offset"] = records["raw_partition"], -1
    faults["partition"], faults["offset"], faults["found"] = records["partition"], records["offset"], records["count"]
    return faults

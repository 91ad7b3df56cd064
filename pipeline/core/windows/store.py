"""Room for the windows of one partition: slots, cells, counters' samples and resources, grown before use."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core.records.identity.interning import SeriesTable, grown
from pipeline.core.windows.state import (
    ALWAYS,
    FREE_NODE,
    FREE_NODES,
    NEVER,
    PARTITION_MS,
    SECOND_MS,
    STATE_SIZE,
    TALLY_SIZE,
    TOP_MS,
    TOP_RESOURCE,
    Texts,
    Windows,
)

if TYPE_CHECKING:
    from pipeline.core.compiled import Array

SLOT_FIELDS = {
    "number": np.int64,
    "first_offset": np.int64,
    "last_offset": np.int64,
    "revision": np.int64,
    "lag_ms": np.int64,
    "samples": np.int32,
    "flags": np.uint8,
    "slot_row": np.int32,
}
RESOURCE_FIELDS = (
    "newest_ms",
    "idle_ms",
    "floor_ms",
    "seen_partition_ms",
    "seen_clock_ms",
    "close_at_ms",
    "record_ms",
)
_ROW_FIELDS = ("lowest", "highest", "rejected", "rejected_after")


def new_texts(size: int) -> Texts:
    """Return room for ``size`` bytes of records."""
    records = max(size // 256, 16)
    return Texts(
        text=np.empty(size, np.uint8),
        end=np.zeros(records, np.int64),
        row=np.zeros(records, np.int32),
        start_ms=np.zeros(records, np.int64),
    )


class WindowStore:
    """The :class:`Windows` of one partition and what is allocated of them."""

    def __init__(self) -> None:
        self._slots_used = 0
        self._cells_used = 0
        self._free_slots: dict[int, list[int]] = {}
        self._free_cells: dict[int, list[int]] = {}
        self._nodes = 0
        slots: dict[str, Any] = {name: np.zeros(0, kind) for name, kind in SLOT_FIELDS.items()}
        resources: dict[str, Any] = {name: np.zeros(0, np.int64) for name in RESOURCE_FIELDS}
        self.windows = Windows(
            **slots,
            **resources,
            **{name: np.zeros(0, np.int64) for name in _ROW_FIELDS},
            cell=np.zeros((0, 8), np.float64),
            chain=np.zeros((0, 2), np.int32),
            node_at=np.zeros(0, np.int64),
            node_value=np.zeros(0, np.float64),
            node_next=np.zeros(0, np.int32),
            pending=np.zeros(16, np.int32),
            late_line=np.zeros(16, np.int64),
            state=np.zeros(STATE_SIZE, np.int64),
            tally=np.zeros(TALLY_SIZE, np.int64),
        )
        state = self.windows.state
        state[[PARTITION_MS, TOP_MS, SECOND_MS]] = NEVER
        state[TOP_RESOURCE] = -1
        state[FREE_NODE] = -1
        self.add_nodes(1024)

    def emptied(self) -> "WindowStore":
        """Return a store without rows and resources that goes on with this one's state, counts and samples."""
        empty = WindowStore()
        w = self.windows
        empty.windows = empty.windows._replace(
            state=w.state,
            tally=w.tally,
            node_at=w.node_at,
            node_value=w.node_value,
            node_next=w.node_next,
            late_line=w.late_line,
        )
        empty._nodes = self._nodes
        return empty

    def add_resources(self, count: int) -> None:
        """Make room for ``count`` resources in all; new ones have been heard of never."""
        w = self.windows
        known = w.newest_ms.shape[0]
        if count <= known:
            return
        arrays = {name: grown(getattr(w, name), count) for name in RESOURCE_FIELDS}
        for name, array in arrays.items():
            array[known:] = ALWAYS if name == "close_at_ms" else NEVER
        self.windows = w._replace(**arrays)

    def rank_resources(self, count: int) -> None:
        """Find anew the two resources whose time is the greatest."""
        w = self.windows
        order = np.argsort(w.newest_ms[:count], kind="stable")[::-1]
        w.state[TOP_RESOURCE] = order[0] if count > 0 else -1
        w.state[TOP_MS] = w.newest_ms[order[0]] if count > 0 else NEVER
        w.state[SECOND_MS] = w.newest_ms[order[1]] if count > 1 else NEVER

    def add_row(self, table: SeriesTable, row: int, rejected: tuple[int, int] | None = None) -> None:
        """Return a new row its ring of window slots.

        ``rejected`` is what a checkpoint knows of samples of the row that were too late: the number of the window, and
        the newest offset in it.
        """
        self.add_resources(len(table.resources))
        w = self.windows
        self.windows = w._replace(**{name: grown(getattr(w, name), row + 1) for name in _ROW_FIELDS})
        self.windows.rejected[row], self.windows.rejected_after[row] = (NEVER, -1) if rejected is None else rejected
        table.rows.slot_base[row] = self._take_slots(row, int(table.rows.ring[row]))
        table.rows.cell_base[row] = 0
        table.rows.cell_stride[row] = 0

    def _take_slots(self, row: int, ring: int) -> int:
        """Return the first of ``ring`` empty window slots."""
        free = self._free_slots.get(ring)
        base = free.pop() if free else self._slots_used
        w = self.windows
        if base == self._slots_used:
            self._slots_used += ring
            w = w._replace(
                **{name: grown(getattr(w, name), self._slots_used) for name in SLOT_FIELDS},
                pending=grown(w.pending, self._slots_used),
            )
            self.windows = w
        w.number[base : base + ring] = NEVER
        w.slot_row[base : base + ring] = row
        return base

    def _take_cells(self, count: int) -> int:
        """Return the first of ``count`` empty cells."""
        free = self._free_cells.get(count)
        base = free.pop() if free else self._cells_used
        if base == self._cells_used:
            self._cells_used += count
            self.windows = self.windows._replace(
                cell=grown(self.windows.cell, self._cells_used), chain=grown(self.windows.chain, self._cells_used)
            )
        self.windows.cell[base : base + count] = 0.0
        self.windows.chain[base : base + count] = -1
        return base

    def widen_ring(self, table: SeriesTable, row: int, windows: int) -> None:
        """Let ``row`` keep that many windows at once or more; no window of it may wait to be written."""
        rows = table.rows
        old_ring, stride = int(rows.ring[row]), int(rows.cell_stride[row])
        ring = max(windows, 2 * old_ring)
        old_slot, old_cell = int(rows.slot_base[row]), int(rows.cell_base[row])
        new_slot, new_cell = self._take_slots(row, ring), self._take_cells(ring * stride)
        w = self.windows
        held = [slot for slot in range(old_slot, old_slot + old_ring) if w.number[slot] != NEVER]
        for slot in sorted(held, key=lambda slot: int(w.number[slot])):
            place = int(w.number[slot]) % ring
            to, origin = new_cell + place * stride, old_cell + (slot - old_slot) * stride
            self._free_chains(to, to + stride)  # of an older window in the same place: nothing needs it any more
            for name in SLOT_FIELDS:
                getattr(w, name)[new_slot + place] = getattr(w, name)[slot]
            w.cell[to : to + stride] = w.cell[origin : origin + stride]
            w.chain[to : to + stride] = w.chain[origin : origin + stride]
        self._free_slots.setdefault(old_ring, []).append(old_slot)
        self._free_cells.setdefault(old_ring * stride, []).append(old_cell)
        rows.ring[row], rows.slot_base[row], rows.cell_base[row] = ring, new_slot, new_cell

    def _free_chains(self, first_cell: int, last_cell: int) -> None:
        """Free the nodes of a range of cells."""
        w = self.windows
        for cell in range(first_cell, last_cell):
            node = int(w.chain[cell, 0])
            while node >= 0:
                following = int(w.node_next[node])
                w.node_next[node] = w.state[FREE_NODE]
                w.state[FREE_NODE] = node
                w.state[FREE_NODES] += 1
                node = following
            w.chain[cell] = -1

    def fit_columns(self, table: SeriesTable, row: int) -> None:
        """Let each window of ``row`` have a cell for every column; what the cells hold moves along."""
        rows = table.rows
        count, stride, ring = table.column_count(row), int(rows.cell_stride[row]), int(rows.ring[row])
        if count <= stride:
            return
        bigger = count if stride == 0 else max(count, 2 * stride)
        base = self._take_cells(bigger * ring)
        w, old = self.windows, int(rows.cell_base[row])
        for slot in range(ring):
            to, origin = base + slot * bigger, old + slot * stride
            w.cell[to : to + stride] = w.cell[origin : origin + stride]
            w.chain[to : to + stride] = w.chain[origin : origin + stride]
        if stride:
            self._free_cells.setdefault(stride * ring, []).append(old)
        rows.cell_base[row], rows.cell_stride[row] = base, bigger

    def add_nodes(self, count: int) -> None:
        """Add ``count`` or more nodes for samples of counters."""
        w, first = self.windows, self._nodes
        self._nodes = first + max(count, first)
        nodes: dict[str, Array] = {
            name: grown(getattr(w, name), self._nodes) for name in ("node_at", "node_value", "node_next")
        }
        added = self._nodes - first
        following = nodes["node_next"]
        following[first : self._nodes] = np.arange(first + 1, self._nodes + 1)
        following[self._nodes - 1] = w.state[FREE_NODE]
        w.state[FREE_NODE] = first
        w.state[FREE_NODES] += added
        self.windows = w._replace(**nodes)

    def fit_lines(self, count: int) -> None:
        """Let ``count`` lines be too late."""
        self.windows = self.windows._replace(late_line=grown(self.windows.late_line, count))

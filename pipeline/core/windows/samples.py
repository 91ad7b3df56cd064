"""Samples put into the cells of a window, and a counter's samples kept in the order of time."""

import numpy as np

from pipeline.core.compiled import Array, Int, compiled
from pipeline.core.records.identity.interning import KIND_COUNTER, FieldTable, RowTable
from pipeline.core.records.telegraf.fast_parse import Columns
from pipeline.core.windows.closing import defer
from pipeline.core.windows.state import (
    ALWAYS,
    CLOSED,
    CORRECTIONS,
    COUNT,
    FIRST,
    FIRST_AT,
    FREE_NODE,
    FREE_NODES,
    LAST,
    LAST_AT,
    MAX,
    MIN,
    NEVER,
    PENDING,
    SUM,
    WANTED_RING,
    WANTED_ROW,
    Windows,
    slot_of,
)

MAX_RING = 1024
"""Windows of one row that a record may feed at once; what lies further back in it is too late."""


@compiled
def free_chain(cell: Int, w: Windows) -> None:
    """Free the samples of a counter."""
    head = w.chain[cell, 0]
    if head < 0:
        return
    node = head
    count = 1
    while w.node_next[node] >= 0:
        node = w.node_next[node]
        count += 1
    w.node_next[node] = w.state[FREE_NODE]
    w.state[FREE_NODE] = head
    w.state[FREE_NODES] += count
    w.chain[cell, 0] = -1
    w.chain[cell, 1] = -1


@compiled
def start_window(slot: Int, number: Int, offset: Int, row: Int, fields: FieldTable, rows: RowTable, w: Windows) -> None:
    """Take a slot for a new window, its old samples given back."""
    cells = rows.cell_base[row] + (slot - rows.slot_base[row]) * rows.cell_stride[row]
    base = rows.field_base[row]
    for column in range(rows.field_count[row]):
        cell = cells + column
        w.cell[cell, COUNT] = 0.0
        if fields.kind[base + column] == KIND_COUNTER:
            free_chain(cell, w)
    w.number[slot] = number
    w.first_offset[slot] = offset
    w.last_offset[slot] = offset
    w.revision[slot] = offset
    w.lag_ms[slot] = 0
    w.samples[slot] = 0
    w.flags[slot] = 0


@compiled
def _chain_sample(cell: Int, at: Int, value: float, w: Windows) -> None:
    """Keep a counter's sample in order of time; of two at one time the later one stays."""
    last = w.chain[cell, 1]
    before = np.int32(-1)
    after = np.int32(-1)
    if last >= 0 and w.node_at[last] <= at:
        before = last
    else:
        after = w.chain[cell, 0]
        while after >= 0 and w.node_at[after] <= at:
            before = after
            after = w.node_next[after]
    if before >= 0 and w.node_at[before] == at:
        w.node_value[before] = value
        return
    node = w.state[FREE_NODE]
    w.state[FREE_NODE] = w.node_next[node]
    w.state[FREE_NODES] -= 1
    w.node_at[node] = at
    w.node_value[node] = value
    w.node_next[node] = after
    if before >= 0:
        w.node_next[before] = node
    else:
        w.chain[cell, 0] = node
    if after < 0:
        w.chain[cell, 1] = node


@compiled
def fold_samples(
    sample_column: Array,
    sample_value: Array,
    begin: Int,
    end: Int,
    cell: Array,
    cells: Int,
    at: float,
    field_kind: Array,
    base: Int,
) -> tuple[bool, bool]:
    """Fold samples of one time into a window's cells.

    Tells whether a counter was among them, and whether the last sample of one moved.
    """
    counters = False
    moved = False
    for i in range(begin, end):
        column = np.int64(sample_column[i])
        x = sample_value[i]
        c = cells + column
        newer = True
        if cell[c, COUNT] == 0.0:
            cell[c, MIN] = x
            cell[c, MAX] = x
            cell[c, SUM] = x
            cell[c, LAST] = x
            cell[c, FIRST] = x
            cell[c, COUNT] = 1.0
            cell[c, LAST_AT] = at
            cell[c, FIRST_AT] = at
        else:
            cell[c, MIN] = min(x, cell[c, MIN])
            cell[c, MAX] = max(x, cell[c, MAX])
            cell[c, SUM] += x
            cell[c, COUNT] += 1.0
            newer = at >= cell[c, LAST_AT]
            if newer:
                cell[c, LAST] = x
                cell[c, LAST_AT] = at
            if at <= cell[c, FIRST_AT]:
                cell[c, FIRST] = x
                cell[c, FIRST_AT] = at
        if field_kind[base + column] == KIND_COUNTER:
            counters = True
            moved = moved or newer
    return counters, moved


@compiled
def chain_line(
    columns: Columns, begin: Int, end: Int, cells: Int, at_ms: Int, fields: FieldTable, base: Int, w: Windows
) -> None:
    """Keep the samples of a line's counters."""
    for i in range(begin, end):
        column = np.int64(columns.sample_column[i])
        if fields.kind[base + column] == KIND_COUNTER:
            _chain_sample(cells + column, at_ms, columns.sample_value[i], w)


@compiled
def move_bridge(row: Int, number: Int, offset: Int, emit: bool, rows: RowTable, w: Windows) -> None:
    """Let the window after ``number`` know that the sample its counters bridge from has moved."""
    after = slot_of(row, number + 1, rows, w)
    if after >= 0:
        w.revision[after] = max(w.revision[after], offset)
        if emit and w.flags[after] & (CLOSED | PENDING) == CLOSED:
            w.tally[CORRECTIONS] += 1
            defer(after, w)


@compiled
def measure_record(columns: Columns, begin: Int, end: Int, rows: RowTable, windows: Windows) -> Int:
    """Note which windows the lines of one record feed, and each resource's greatest time in it.

    Returns a row whose ring is too small for them, with the size it needs in the state; -1 if all are wide enough.
    """
    for line in range(begin, end):
        row = np.int64(columns.line_row[line])
        windows.lowest[row] = ALWAYS
        windows.highest[row] = NEVER
        windows.record_ms[rows.resource[row]] = NEVER
    for line in range(begin, end):
        row = np.int64(columns.line_row[line])
        time_ms = columns.line_time_ms[line]
        resource = rows.resource[row]
        windows.record_ms[resource] = max(windows.record_ms[resource], time_ms)
        if columns.line_sample[line + 1] > columns.line_sample[line]:
            number = time_ms // rows.every_ms[row]
            windows.lowest[row] = min(windows.lowest[row], number)
            windows.highest[row] = max(windows.highest[row], number)
    for line in range(begin, end):
        row = np.int64(columns.line_row[line])
        if windows.highest[row] == NEVER:
            continue
        windows.lowest[row] = max(windows.lowest[row], windows.highest[row] - MAX_RING + 2)
        ring = windows.highest[row] - windows.lowest[row] + 2  # and the window before, which primes counters
        if ring > rows.ring[row]:
            windows.state[WANTED_ROW] = row
            windows.state[WANTED_RING] = ring
            return row
    return -1

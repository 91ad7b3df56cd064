"""A restart: input from before the checkpoint folded again in silence, and what has to be kept for the next one."""

from typing import NamedTuple

import numpy as np

from pipeline.core.compiled import Array, Int, Ints, compiled
from pipeline.core.records.identity.interning import KIND_COUNTER, FieldTable, RowTable
from pipeline.core.records.telegraf.fast_parse import Columns
from pipeline.core.windows.fold import DONE, NODES_FULL, RING_FULL
from pipeline.core.windows.samples import (
    chain_line,
    fold_samples,
    free_chain,
    measure_record,
    move_bridge,
    start_window,
)
from pipeline.core.windows.state import (
    ALWAYS,
    CLOSED,
    FREE_NODES,
    LINE,
    NEVER,
    OPEN_SAMPLES,
    OPEN_WINDOWS,
    Windows,
    watermark_ms,
)


class Replay(NamedTuple):
    """What the checkpoint said of each resource, while the input before it is read again; int64[resources] each."""

    newest_ms: Array
    idle_ms: Array
    floor_ms: Array


@compiled
def refold(
    columns: Columns,
    offsets: Ints,
    record_time_ms: Ints,
    replay: Replay,
    rows: RowTable,
    fields: FieldTable,
    windows: Windows,
) -> int:
    """Fold lines that were processed before a restart: nothing is written, nobody's closing is decided anew.

    Windows that the checkpoint does not keep any more swallow their samples. What was too late for a window that is
    kept (it can only be the one that primes a row's counters) is too late again: the checkpoint says from where on.

    Returns
    -------
    int
        DONE, NODES_FULL or RING_FULL.
    """
    state = windows.state
    line_count = columns.counts[0]
    while state[LINE] < line_count:
        begin = state[LINE]
        record = columns.line_record[begin]
        end = begin + 1
        while end < line_count and columns.line_record[end] == record:
            end += 1
        if columns.line_sample[end] - columns.line_sample[begin] > state[FREE_NODES]:
            return NODES_FULL
        if measure_record(columns, begin, end, rows, windows) >= 0:
            return RING_FULL
        offset = offsets[record]
        for line in range(begin, end):
            first, last = columns.line_sample[line], columns.line_sample[line + 1]
            if first == last:
                continue
            row = np.int64(columns.line_row[line])
            resource = np.int64(rows.resource[row])
            time_ms = columns.line_time_ms[line]
            every_ms = rows.every_ms[row]
            number = time_ms // every_ms
            end_ms = (number + 1) * every_ms
            kept_from = replay.newest_ms[resource] - rows.grace_ms[row]
            slot = rows.slot_base[row] + number % rows.ring[row]
            held = windows.number[slot]
            if (
                end_ms + rows.allowed_lateness_ms[row] + every_ms <= kept_from
                or end_ms <= replay.floor_ms[resource]
                or (number == windows.rejected[row] and offset > windows.rejected_after[row])
                or held > number
                or number < windows.lowest[row]
            ):
                continue
            if held != number:
                start_window(slot, number, offset, row, fields, rows, windows)
            cells = rows.cell_base[row] + (slot - rows.slot_base[row]) * rows.cell_stride[row]
            at_ms = time_ms - number * every_ms
            base = rows.field_base[row]
            counters, moved = fold_samples(
                columns.sample_column,
                columns.sample_value,
                first,
                last,
                windows.cell,
                cells,
                np.float64(at_ms),
                fields.kind,
                base,
            )
            windows.samples[slot] += last - first
            windows.last_offset[slot] = max(windows.last_offset[slot], offset)
            windows.revision[slot] = max(windows.revision[slot], offset)
            if record_time_ms[record] >= 0:
                windows.lag_ms[slot] = max(windows.lag_ms[slot], record_time_ms[record] - time_ms)
            if counters:
                chain_line(columns, first, last, cells, at_ms, fields, base, windows)
            if moved:
                move_bridge(row, number, offset, False, rows, windows)
        state[LINE] = end
    return DONE


@compiled
def reopen(row_count: int, replay: Replay, resource_count: int, rows: RowTable, windows: Windows) -> None:
    """End a replay: take the checkpoint's times, and hold every window that lies below them for closed."""
    for resource in range(resource_count):
        windows.newest_ms[resource] = replay.newest_ms[resource]
        windows.idle_ms[resource] = replay.idle_ms[resource]
        windows.floor_ms[resource] = replay.floor_ms[resource]
        windows.close_at_ms[resource] = ALWAYS
    for row in range(row_count):
        resource = rows.resource[row]
        watermark = watermark_ms(row, rows, windows)
        base = rows.slot_base[row]
        for slot in range(base, base + rows.ring[row]):
            if windows.number[slot] == NEVER:
                continue
            end_ms = (windows.number[slot] + 1) * rows.every_ms[row]
            if end_ms <= watermark:
                windows.flags[slot] = CLOSED
            else:
                windows.flags[slot] = 0
                windows.state[OPEN_WINDOWS] += 1
                windows.state[OPEN_SAMPLES] += windows.samples[slot]
                windows.close_at_ms[resource] = min(windows.close_at_ms[resource], end_ms + rows.grace_ms[row])


@compiled
def _is_kept(slot: Int, row: Int, rows: RowTable, windows: Windows) -> bool:
    """Return whether a window is open, correctable, or the one before that primes counters."""
    resource = rows.resource[row]
    number = windows.number[slot]
    if number == NEVER:
        return False
    end_ms = (number + 1) * rows.every_ms[row]
    keep_ms = rows.allowed_lateness_ms[row] + rows.every_ms[row]
    kept_from = windows.newest_ms[resource] - rows.grace_ms[row]
    return bool(end_ms + keep_ms > kept_from and end_ms > windows.floor_ms[resource])


@compiled
def keep_rows(row_count: int, rows: RowTable, windows: Windows, keep: Array) -> int:
    """Mark the rows (bool[rows]) that keep a window, and give how many do."""
    kept = 0
    for row in range(row_count):
        base = rows.slot_base[row]
        keep[row] = False
        for slot in range(base, base + rows.ring[row]):
            if _is_kept(slot, row, rows, windows):
                keep[row] = True
        if keep[row]:
            kept += 1
    return kept


@compiled
def release_rows(row_count: int, rows: RowTable, fields: FieldTable, windows: Windows, keep: Array) -> None:
    """Free the counters' samples of all rows that are not kept."""
    for row in range(row_count):
        if keep[row]:
            continue
        for cell in range(rows.ring[row] * rows.cell_stride[row]):
            if fields.kind[rows.field_base[row] + cell % rows.cell_stride[row]] == KIND_COUNTER:
                free_chain(rows.cell_base[row] + cell, windows)


@compiled
def replay_from(row_count: int, rows: RowTable, windows: Windows) -> int:
    """Return the smallest offset that a kept window was fed from, ALWAYS if none is kept.

    Kept are open windows, closed ones that a late sample may still correct, and for each series the one before them,
    which primes its counters.
    """
    smallest = ALWAYS
    for row in range(row_count):
        base = rows.slot_base[row]
        for slot in range(base, base + rows.ring[row]):
            if _is_kept(slot, row, rows, windows):
                smallest = min(smallest, windows.first_offset[slot])
    return smallest

"""Windows closed by their resource's time or by silence, and written: what decides when a window is over."""

from typing import NamedTuple

import numpy as np

from pipeline.core.compiled import Array, Int, compiled
from pipeline.core.records.identity.interning import FieldTable, RowTable
from pipeline.core.windows.state import (
    AGGREGATED,
    ALWAYS,
    CLOSED,
    EMITTED,
    NEVER,
    OPEN_SAMPLES,
    OPEN_WINDOWS,
    PARTITION_MS,
    PENDING,
    PENDING_COUNT,
    PENDING_WRITTEN,
    Names,
    Texts,
    Windows,
    watermark_ms,
)
from pipeline.core.windows.text import write_window


class Lateness(NamedTuple):
    """The times that decide when a quiet resource may close, in milliseconds."""

    grace_ms: int
    idle_close_ms: int
    forget_ms: int
    lead_ms: int


@compiled
def defer(slot: Int, windows: Windows) -> None:
    """Put a window on the list of those to write, once."""
    if windows.flags[slot] & PENDING == 0:
        windows.flags[slot] |= PENDING
        windows.pending[windows.state[PENDING_COUNT]] = slot
        windows.state[PENDING_COUNT] += 1


@compiled
def close_window(slot: Int, windows: Windows) -> None:
    """Close an open window: it is counted, and waits to be written."""
    windows.flags[slot] |= CLOSED
    windows.state[OPEN_WINDOWS] -= 1
    windows.state[OPEN_SAMPLES] -= windows.samples[slot]
    windows.tally[AGGREGATED] += windows.samples[slot]
    windows.tally[EMITTED] += 1
    defer(slot, windows)


@compiled
def _next_open(row: Int, after: Int, rows: RowTable, windows: Windows) -> Int:
    """Return the slot of the row's first open window with a number above ``after``, or -1."""
    found = -1
    smallest = ALWAYS
    base = rows.slot_base[row]
    for slot in range(base, base + rows.ring[row]):
        number = windows.number[slot]
        if after < number < smallest and windows.flags[slot] & CLOSED == 0:
            found = slot
            smallest = number
    return found


@compiled
def close_up_to(resource: Int, first_row: Array, up_to_ms: Int, rows: RowTable, windows: Windows) -> Int:
    """Close the resource's open windows that lie below its watermark or end by ``up_to_ms``.

    Returns the latest end among those that only ``up_to_ms`` closed, NEVER if there were none, and notes when the next
    window of the resource closes.
    """
    latest_end = np.int64(NEVER)
    next_close = np.int64(ALWAYS)
    row = np.int64(first_row[resource])
    while row >= 0:
        watermark = watermark_ms(row, rows, windows)
        every_ms = rows.every_ms[row]
        done = np.int64(NEVER)
        while True:
            slot = _next_open(row, done, rows, windows)
            if slot < 0:
                break
            done = windows.number[slot]
            end_ms = (done + 1) * every_ms
            if end_ms <= watermark:
                close_window(slot, windows)
            elif end_ms <= up_to_ms:
                close_window(slot, windows)
                latest_end = max(latest_end, end_ms)
            else:
                next_close = min(next_close, end_ms + rows.grace_ms[row])
        row = np.int64(rows.next_of_resource[row])
    windows.close_at_ms[resource] = next_close
    return latest_end


@compiled
def _latest_end(resource: Int, first_row: Array, rows: RowTable, windows: Windows) -> Int:
    latest = np.int64(NEVER)
    row = np.int64(first_row[resource])
    while row >= 0:
        base = rows.slot_base[row]
        for slot in range(base, base + rows.ring[row]):
            if windows.number[slot] != NEVER:
                latest = max(latest, (windows.number[slot] + 1) * rows.every_ms[row])
        row = np.int64(rows.next_of_resource[row])
    return latest


@compiled
def rest(
    resource: Int, first_row: Array, silent_ms: Int, up_to_ms: Int, lateness: Lateness, rows: RowTable, windows: Windows
) -> None:
    """Treat a resource that was silent for ``silent_ms``: close what ends by ``up_to_ms``, forget it after long."""
    if silent_ms < lateness.idle_close_ms or windows.newest_ms[resource] == NEVER:
        return
    if windows.close_at_ms[resource] != ALWAYS:
        latest = close_up_to(resource, first_row, up_to_ms, rows, windows)
        windows.idle_ms[resource] = max(windows.idle_ms[resource], latest)
    elif silent_ms >= lateness.forget_ms and windows.state[PENDING_COUNT] == 0:
        # not before its last windows are written: they may bridge from those that are forgotten with them
        floor = _latest_end(resource, first_row, rows, windows)
        if floor > windows.floor_ms[resource]:
            windows.floor_ms[resource] = floor
            windows.idle_ms[resource] = max(windows.idle_ms[resource], floor)


@compiled
def rest_all(
    now_ms: int, first_row: Array, resource_count: int, lateness: Lateness, rows: RowTable, windows: Windows
) -> None:
    """Close and forget what is due by the partition's time, and by the clock if ``now_ms`` is not NEVER."""
    partition_ms = windows.state[PARTITION_MS]
    for resource in range(resource_count):
        seen = windows.seen_partition_ms[resource]
        if partition_ms != NEVER and seen != NEVER:
            rest(resource, first_row, partition_ms - seen, partition_ms - lateness.grace_ms, lateness, rows, windows)
        if now_ms != NEVER:
            silent_ms = now_ms - windows.seen_clock_ms[resource]
            rest(resource, first_row, silent_ms, now_ms - lateness.grace_ms, lateness, rows, windows)


@compiled
def close_all(resource_count: int, first_row: Array, rows: RowTable, windows: Windows) -> None:
    """Close every open window: the input has ended."""
    for resource in range(resource_count):
        close_up_to(resource, first_row, ALWAYS, rows, windows)


@compiled
def write_pending(
    partition: int, rows: RowTable, fields: FieldTable, names: Names, windows: Windows, texts: Texts
) -> bool:
    """Write the windows that wait; False when ``texts`` is full."""
    state = windows.state
    while state[PENDING_WRITTEN] < state[PENDING_COUNT]:
        slot = np.int64(windows.pending[state[PENDING_WRITTEN]])
        if not write_window(slot, partition, rows, fields, names, windows, texts):
            return False
        windows.flags[slot] &= np.uint8(255 - PENDING)
        state[PENDING_WRITTEN] += 1
    state[PENDING_WRITTEN] = 0
    state[PENDING_COUNT] = 0
    return True

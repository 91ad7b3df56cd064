"""Event-time windows: samples folded in the order of the input, windows closed and corrected, record by record.

The unit of everything here is the input record. Its samples are folded against the watermark as it stood before the
record; then the record's own event times move the watermark, and what that closes is written, and so is every closed
window the record was late for. So the result does not depend on how records are batched.
"""

from typing import NamedTuple

import numpy as np

from pipeline.core.compiled import compiled
from pipeline.core.fast_parse import Columns
from pipeline.core.series import KIND_COUNTER, Array, FieldTable, Ints, RowTable
from pipeline.core.window_state import (
    AGGREGATED,
    ALWAYS,
    CHECKED,
    CLOSED,
    CORRECTIONS,
    COUNT,
    EMITTED,
    FIRST,
    FIRST_AT,
    FREE_NODE,
    FREE_NODES,
    LAST,
    LAST_AT,
    LATE,
    LATE_LINES,
    LINE,
    MAX,
    MIN,
    NEVER,
    OPEN_SAMPLES,
    OPEN_WINDOWS,
    PARTITION_MS,
    PENDING,
    PENDING_COUNT,
    PENDING_WRITTEN,
    SECOND_MS,
    SUM,
    TOO_LATE,
    TOP_MS,
    TOP_RESOURCE,
    WANTED_RING,
    WANTED_ROW,
    Names,
    Texts,
    Windows,
    slot_of,
    watermark_ms,
)
from pipeline.core.window_text import write_window

DONE, TEXTS_FULL, NODES_FULL, RING_FULL = 0, 1, 2, 3
"""Why :func:`fold` came back: all folded; or drain ``texts``, add nodes, widen a row's ring, and call again."""

MAX_RING = 1024
"""Windows of one row that a record may feed at once; what lies further back in it is too late."""


class Lateness(NamedTuple):
    """The times that decide when a quiet resource may close, in milliseconds."""

    grace_ms: int
    idle_close_ms: int
    forget_ms: int
    lead_ms: int


class Replay(NamedTuple):
    """What the checkpoint said of each resource, while the input before it is read again; int64[resources] each."""

    newest_ms: Array
    idle_ms: Array
    floor_ms: Array


@compiled
def _defer(slot: int, windows: Windows) -> None:
    """Put a window on the list of those to write, once."""
    if windows.flags[slot] & PENDING == 0:
        windows.flags[slot] |= PENDING
        windows.pending[windows.state[PENDING_COUNT]] = slot
        windows.state[PENDING_COUNT] += 1


@compiled
def _close(slot: int, windows: Windows) -> None:
    windows.flags[slot] |= CLOSED
    windows.state[OPEN_WINDOWS] -= 1
    windows.state[OPEN_SAMPLES] -= windows.samples[slot]
    windows.tally[AGGREGATED] += windows.samples[slot]
    windows.tally[EMITTED] += 1
    _defer(slot, windows)


@compiled
def _next_open(row: int, after: int, rows: RowTable, windows: Windows) -> int:
    """Give the slot of the row's first open window with a number above ``after``, or -1."""
    found = np.int64(-1)
    smallest = np.int64(ALWAYS)
    base = rows.slot_base[row]
    for slot in range(base, base + rows.ring[row]):
        number = windows.number[slot]
        if after < number < smallest and windows.flags[slot] & CLOSED == 0:
            found = slot
            smallest = number
    return found


@compiled
def _close_up_to(resource: int, first_row: Array, up_to_ms: int, rows: RowTable, windows: Windows) -> int:
    """Close the resource's open windows that lie below its watermark or end by ``up_to_ms``.

    Gives the latest end among those that only ``up_to_ms`` closed, NEVER if there were none, and notes when the next
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
                _close(slot, windows)
            elif end_ms <= up_to_ms:
                _close(slot, windows)
                latest_end = max(latest_end, end_ms)
            else:
                next_close = min(next_close, end_ms + rows.grace_ms[row])
        row = np.int64(rows.next_of_resource[row])
    windows.close_at_ms[resource] = next_close
    return latest_end


@compiled
def _latest_end(resource: int, first_row: Array, rows: RowTable, windows: Windows) -> int:
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
def _rest(
    resource: int, first_row: Array, silent_ms: int, up_to_ms: int, lateness: Lateness, rows: RowTable, windows: Windows
) -> None:
    """Treat a resource that was silent for ``silent_ms``: close what ends by ``up_to_ms``, forget it after long."""
    if silent_ms < lateness.idle_close_ms or windows.newest_ms[resource] == NEVER:
        return
    if windows.close_at_ms[resource] != ALWAYS:
        latest = _close_up_to(resource, first_row, up_to_ms, rows, windows)
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
            _rest(resource, first_row, partition_ms - seen, partition_ms - lateness.grace_ms, lateness, rows, windows)
        if now_ms != NEVER:
            silent_ms = now_ms - windows.seen_clock_ms[resource]
            _rest(resource, first_row, silent_ms, now_ms - lateness.grace_ms, lateness, rows, windows)


@compiled
def close_all(resource_count: int, first_row: Array, rows: RowTable, windows: Windows) -> None:
    """Close every open window: the input has ended."""
    for resource in range(resource_count):
        _close_up_to(resource, first_row, ALWAYS, rows, windows)


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


@compiled
def _free_chain(cell: int, w: Windows) -> None:
    """Give a counter's samples back."""
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
def _start_window(
    slot: int, number: int, offset: int, row: int, fields: FieldTable, rows: RowTable, w: Windows
) -> None:
    """Take a slot for a new window, its old samples given back."""
    cells = rows.cell_base[row] + (slot - rows.slot_base[row]) * rows.cell_stride[row]
    base = rows.field_base[row]
    for column in range(rows.field_count[row]):
        cell = cells + column
        w.cell[cell, COUNT] = 0.0
        if fields.kind[base + column] == KIND_COUNTER:
            _free_chain(cell, w)
    w.number[slot] = number
    w.first_offset[slot] = offset
    w.last_offset[slot] = offset
    w.revision[slot] = offset
    w.lag_ms[slot] = 0
    w.samples[slot] = 0
    w.flags[slot] = 0


@compiled
def _chain_sample(cell: int, at: int, value: float, w: Windows) -> None:
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
def _fold_samples(
    sample_column: Array,
    sample_value: Array,
    begin: int,
    end: int,
    cell: Array,
    cells: int,
    at: float,
    field_kind: Array,
    base: int,
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
def _chain_line(
    columns: Columns, begin: int, end: int, cells: int, at_ms: int, fields: FieldTable, base: int, w: Windows
) -> None:
    """Keep the samples of a line's counters."""
    for i in range(begin, end):
        column = np.int64(columns.sample_column[i])
        if fields.kind[base + column] == KIND_COUNTER:
            _chain_sample(cells + column, at_ms, columns.sample_value[i], w)


@compiled
def _move_bridge(row: int, number: int, offset: int, emit: bool, rows: RowTable, w: Windows) -> None:
    """Let the window after ``number`` know that the sample its counters bridge from has moved."""
    after = slot_of(row, number + 1, rows, w)
    if after >= 0:
        w.revision[after] = max(w.revision[after], offset)
        if emit and w.flags[after] & (CLOSED | PENDING) == CLOSED:
            w.tally[CORRECTIONS] += 1
            _defer(after, w)


@compiled
def _rank(resource: int, time_ms: int, state: Ints) -> None:
    """Keep which resource's time is the greatest, and the greatest of the others."""
    if resource == state[TOP_RESOURCE]:
        state[TOP_MS] = time_ms
    elif time_ms > state[TOP_MS]:
        state[SECOND_MS] = state[TOP_MS]
        state[TOP_RESOURCE] = resource
        state[TOP_MS] = time_ms
    elif time_ms > state[SECOND_MS]:
        state[SECOND_MS] = time_ms


@compiled
def _move_partition_time(lead_ms: int, state: Ints) -> None:
    """Let the resources' times move the partition's.

    The partition's time is the greatest of any resource, unless that is more than ``lead_ms`` ahead of every other
    resource's: then it is the second greatest, so that one wild clock moves nobody's time but its own.
    """
    if state[SECOND_MS] != NEVER:
        near = state[TOP_MS] - state[SECOND_MS] <= lead_ms
        state[PARTITION_MS] = max(state[PARTITION_MS], state[TOP_MS] if near else state[SECOND_MS])


@compiled
def _measure(columns: Columns, begin: int, end: int, rows: RowTable, windows: Windows) -> int:
    """Note which windows the lines of one record feed, and each resource's greatest time in it.

    Gives a row whose ring is too small for them, with the size it needs in the state; -1 if all are wide enough.
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


@compiled
def _make_place(row: int, before: int, latest_ms: int, rows: RowTable, windows: Windows) -> None:
    """Close a row's open windows before number ``before`` that a record of ``latest_ms`` is about to close."""
    base = rows.slot_base[row]
    for slot in range(base, base + rows.ring[row]):
        number = windows.number[slot]
        if (
            number != NEVER
            and number < before
            and windows.flags[slot] & CLOSED == 0
            and (number + 1) * rows.every_ms[row] <= latest_ms - rows.grace_ms[row]
        ):
            _close(slot, windows)


@compiled
def fold(
    columns: Columns,
    offsets: Ints,
    record_time_ms: Ints,
    now_ms: int,
    partition: int,
    lateness: Lateness,
    first_row: Array,
    rows: RowTable,
    fields: FieldTable,
    names: Names,
    windows: Windows,
    texts: Texts,
) -> int:
    """Fold parsed lines into windows and write what closes or is corrected.

    Parameters
    ----------
    columns
        Parsed lines; those from ``state[LINE]`` on are still to be folded.
    offsets, record_time_ms
        Each record's offset and Kafka timestamp (negative for none), int64[records].
    now_ms
        The clock, noted as the time a resource was last heard.
    partition, lateness
        Number of the partition, and its times.
    first_row, rows, fields, names, windows, texts
        The partition's tables, and where records are written.

    Returns
    -------
    int
        DONE, TEXTS_FULL, NODES_FULL or RING_FULL.
    """
    state, tally = windows.state, windows.tally
    line_row, line_time_ms, line_record = columns.line_row, columns.line_time_ms, columns.line_record
    line_sample, sample_column, sample_value = columns.line_sample, columns.sample_column, columns.sample_value
    row_resource, row_every, row_grace, row_correction = (
        rows.resource,
        rows.every_ms,
        rows.grace_ms,
        rows.correction_ms,
    )
    row_slot, row_ring, row_cell, row_stride, row_field = (
        rows.slot_base,
        rows.ring,
        rows.cell_base,
        rows.cell_stride,
        rows.field_base,
    )
    held_number, flags, cell, field_kind = windows.number, windows.flags, windows.cell, fields.kind
    newest_ms, idle_ms, floor_ms = windows.newest_ms, windows.idle_ms, windows.floor_ms
    seen_partition_ms, seen_clock_ms = windows.seen_partition_ms, windows.seen_clock_ms
    first_offset, last_offset, revision = windows.first_offset, windows.last_offset, windows.revision
    lag_ms, slot_samples, close_at_ms = windows.lag_ms, windows.samples, windows.close_at_ms
    line_count = columns.counts[0]
    while True:
        if state[PENDING_COUNT] > 0 and not write_pending(partition, rows, fields, names, windows, texts):
            return TEXTS_FULL
        begin = state[LINE]
        if begin >= line_count:
            return DONE
        record = np.int64(line_record[begin])
        end = begin + 1
        while end < line_count and line_record[end] == record:
            end += 1
        several = end > begin + 1
        if state[CHECKED] == 0:
            # before the record: whoever was silent too long is closed, and so are windows whose place is wanted
            if several and _measure(columns, begin, end, rows, windows) >= 0:
                return RING_FULL
            for line in range(begin, end):
                row = np.int64(line_row[line])
                resource = np.int64(row_resource[row])
                time_ms = line_time_ms[line]
                seen = seen_partition_ms[resource]
                if (
                    state[PARTITION_MS] != NEVER
                    and seen != NEVER
                    and state[PARTITION_MS] - seen >= lateness.idle_close_ms
                ):
                    _rest(
                        resource,
                        first_row,
                        state[PARTITION_MS] - seen,
                        state[PARTITION_MS] - lateness.grace_ms,
                        lateness,
                        rows,
                        windows,
                    )
                number = time_ms // row_every[row]
                held = held_number[row_slot[row] + number % row_ring[row]]
                if held < number and held != NEVER and line_sample[line + 1] > line_sample[line]:
                    low = windows.lowest[row] if several else number
                    latest_ms = windows.record_ms[resource] if several else time_ms
                    _make_place(row, low, latest_ms, rows, windows)
            if state[PENDING_COUNT] > 0:
                continue
            state[CHECKED] = 1
        if line_sample[end] - line_sample[begin] > state[FREE_NODES]:
            return NODES_FULL
        offset = offsets[record]
        record_ms = record_time_ms[record]
        for line in range(begin, end):
            first, last = line_sample[line], line_sample[line + 1]
            if first == last:
                continue
            row = np.int64(line_row[line])
            resource = np.int64(row_resource[row])
            time_ms = line_time_ms[line]
            every_ms = row_every[row]
            number = time_ms // every_ms
            end_ms = (number + 1) * every_ms
            own_ms = newest_ms[resource] - row_grace[row]
            place = number % row_ring[row]
            slot = row_slot[row] + place
            held = held_number[slot]
            if (
                end_ms <= floor_ms[resource]
                or end_ms + row_correction[row] <= own_ms  # not idle_ms: silence closes, it makes nothing too late
                or held > number
                or (several and number < windows.lowest[row])
            ):
                tally[TOO_LATE] += last - first
                if number > windows.rejected[row]:
                    windows.rejected[row] = number
                    windows.rejected_after[row] = last_offset[slot] if held == number else np.int64(-1)
                windows.late_line[state[LATE_LINES]] = line
                state[LATE_LINES] += 1
                continue
            late = end_ms <= max(own_ms, idle_ms[resource])
            known = held == number
            if not known:
                _start_window(slot, number, offset, row, fields, rows, windows)
                if late:
                    flags[slot] = CLOSED
                    tally[EMITTED] += 1
                else:
                    state[OPEN_WINDOWS] += 1
                    close_at_ms[resource] = min(close_at_ms[resource], end_ms + row_grace[row])
            cells = row_cell[row] + place * row_stride[row]
            at_ms = time_ms - number * every_ms
            base = row_field[row]
            counters, moved = _fold_samples(
                sample_column, sample_value, first, last, cell, cells, np.float64(at_ms), field_kind, base
            )
            slot_samples[slot] += last - first
            last_offset[slot] = max(last_offset[slot], offset)
            revision[slot] = max(revision[slot], offset)
            first_offset[slot] = min(first_offset[slot], offset)
            if record_ms >= 0:
                lag_ms[slot] = max(lag_ms[slot], record_ms - time_ms)
            if counters:
                _chain_line(columns, first, last, cells, at_ms, fields, base, windows)
            if late:
                tally[LATE] += last - first
                if known and flags[slot] & PENDING == 0:
                    tally[CORRECTIONS] += 1
                _defer(slot, windows)
            else:
                state[OPEN_SAMPLES] += last - first
            if moved:
                _move_bridge(row, number, offset, True, rows, windows)
        for line in range(begin, end):
            resource = np.int64(row_resource[line_row[line]])
            time_ms = line_time_ms[line]
            if time_ms > newest_ms[resource]:
                newest_ms[resource] = time_ms
                _rank(resource, time_ms, state)
        _move_partition_time(lateness.lead_ms, state)
        for line in range(begin, end):
            resource = np.int64(row_resource[line_row[line]])
            if newest_ms[resource] >= close_at_ms[resource]:
                _close_up_to(resource, first_row, NEVER, rows, windows)
            seen_partition_ms[resource] = state[PARTITION_MS] if state[PARTITION_MS] != NEVER else newest_ms[resource]
            seen_clock_ms[resource] = now_ms
        state[LINE] = end
        state[CHECKED] = 0


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
        if _measure(columns, begin, end, rows, windows) >= 0:
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
                end_ms + rows.correction_ms[row] + every_ms <= kept_from
                or end_ms <= replay.floor_ms[resource]
                or (number == windows.rejected[row] and offset > windows.rejected_after[row])
                or held > number
                or number < windows.lowest[row]
            ):
                continue
            if held != number:
                _start_window(slot, number, offset, row, fields, rows, windows)
            cells = rows.cell_base[row] + (slot - rows.slot_base[row]) * rows.cell_stride[row]
            at_ms = time_ms - number * every_ms
            base = rows.field_base[row]
            counters, moved = _fold_samples(
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
                _chain_line(columns, first, last, cells, at_ms, fields, base, windows)
            if moved:
                _move_bridge(row, number, offset, False, rows, windows)
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
def _is_kept(slot: int, row: int, rows: RowTable, windows: Windows) -> bool:
    """Tell whether a window is open, correctable, or the one before that primes counters."""
    resource = rows.resource[row]
    number = windows.number[slot]
    if number == NEVER:
        return False
    end_ms = (number + 1) * rows.every_ms[row]
    keep_ms = rows.correction_ms[row] + rows.every_ms[row]
    return end_ms + keep_ms > windows.newest_ms[resource] - rows.grace_ms[row] and end_ms > windows.floor_ms[resource]


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
    """Give the counters' samples of all rows back that are not kept."""
    for row in range(row_count):
        if keep[row]:
            continue
        for cell in range(rows.ring[row] * rows.cell_stride[row]):
            if fields.kind[rows.field_base[row] + cell % rows.cell_stride[row]] == KIND_COUNTER:
                _free_chain(rows.cell_base[row] + cell, windows)


@compiled
def replay_from(row_count: int, rows: RowTable, windows: Windows) -> int:
    """Give the smallest offset that a kept window was fed from, ALWAYS if none is kept.

    Kept are open windows, closed ones that a late sample may still correct, and for each series the one before them,
    which primes its counters.
    """
    smallest = np.int64(ALWAYS)
    for row in range(row_count):
        base = rows.slot_base[row]
        for slot in range(base, base + rows.ring[row]):
            if _is_kept(slot, row, rows, windows):
                smallest = min(smallest, windows.first_offset[slot])
    return smallest

"""Event-time windows: samples folded in the order of the input, windows closed and corrected, record by record.

The unit of everything here is the input record. Its samples are folded against the watermark as it stood before the
record; then the record's own event times move the watermark, and what that closes is written, and so is every closed
window the record was late for. So the result does not depend on how records are batched.
"""

import numpy as np

from pipeline.core.compiled import Array, Int, Ints, compiled
from pipeline.core.records.identity.interning import FieldTable, RowTable
from pipeline.core.records.telegraf.fast_parse import Columns
from pipeline.core.windows.closing import Lateness, close_up_to, close_window, defer, rest, write_pending
from pipeline.core.windows.samples import chain_line, fold_samples, measure_record, move_bridge, start_window
from pipeline.core.windows.state import (
    CHECKED,
    CLOSED,
    CORRECTIONS,
    EMITTED,
    FREE_NODES,
    LATE,
    LATE_LINES,
    LINE,
    NEVER,
    OPEN_SAMPLES,
    OPEN_WINDOWS,
    PARTITION_MS,
    PENDING,
    PENDING_COUNT,
    SECOND_MS,
    TOO_LATE,
    TOP_MS,
    TOP_RESOURCE,
    Names,
    Texts,
    Windows,
)

DONE, TEXTS_FULL, NODES_FULL, RING_FULL = 0, 1, 2, 3
"""Why :func:`fold` came back: all folded; or drain ``texts``, add nodes, widen a row's ring, and call again."""


@compiled
def _rank(resource: Int, time_ms: Int, state: Ints) -> None:
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
def _move_partition_time(lead_ms: Int, state: Ints) -> None:
    """Let the resources' times move the partition's.

    The partition's time is the greatest of any resource, unless that is more than ``lead_ms`` ahead of every other
    resource's: then it is the second greatest, so that one wild clock moves nobody's time but its own.
    """
    if state[SECOND_MS] != NEVER:
        near = state[TOP_MS] - state[SECOND_MS] <= lead_ms
        state[PARTITION_MS] = max(state[PARTITION_MS], state[TOP_MS] if near else state[SECOND_MS])


@compiled
def _make_place(row: Int, before: Int, latest_ms: Int, rows: RowTable, windows: Windows) -> None:
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
            close_window(slot, windows)


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
    row_resource, row_every, row_grace, row_lateness = (
        rows.resource,
        rows.every_ms,
        rows.grace_ms,
        rows.allowed_lateness_ms,
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
            if several and measure_record(columns, begin, end, rows, windows) >= 0:
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
                    rest(
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
                or end_ms + row_lateness[row] <= own_ms  # not idle_ms: silence closes, it makes nothing too late
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
                start_window(slot, number, offset, row, fields, rows, windows)
                if late:
                    flags[slot] = CLOSED
                    tally[EMITTED] += 1
                else:
                    state[OPEN_WINDOWS] += 1
                    close_at_ms[resource] = min(close_at_ms[resource], end_ms + row_grace[row])
            cells = row_cell[row] + place * row_stride[row]
            at_ms = time_ms - number * every_ms
            base = row_field[row]
            counters, moved = fold_samples(
                sample_column, sample_value, first, last, cell, cells, np.float64(at_ms), field_kind, base
            )
            slot_samples[slot] += last - first
            last_offset[slot] = max(last_offset[slot], offset)
            revision[slot] = max(revision[slot], offset)
            first_offset[slot] = min(first_offset[slot], offset)
            if record_ms >= 0:
                lag_ms[slot] = max(lag_ms[slot], record_ms - time_ms)
            if counters:
                chain_line(columns, first, last, cells, at_ms, fields, base, windows)
            if late:
                tally[LATE] += last - first
                if known and flags[slot] & PENDING == 0:
                    tally[CORRECTIONS] += 1
                defer(slot, windows)
            else:
                state[OPEN_SAMPLES] += last - first
            if moved:
                move_bridge(row, number, offset, True, rows, windows)
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
                close_up_to(resource, first_row, NEVER, rows, windows)
            seen_partition_ms[resource] = state[PARTITION_MS] if state[PARTITION_MS] != NEVER else newest_ms[resource]
            seen_clock_ms[resource] = now_ms
        state[LINE] = end
        state[CHECKED] = 0

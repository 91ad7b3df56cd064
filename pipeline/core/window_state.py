"""The windows of one partition in columns, and their text: what compiled code folds samples into and writes out."""

from typing import NamedTuple

import numpy as np
from numba import njit

from pipeline.core.decimals import MAX_TEXT_BYTES, write_double, write_integer
from pipeline.core.series import KIND_COUNTER, Array, Bytes, FieldTable, RowTable

NEVER = -(1 << 62)
"""Event time before all others."""
ALWAYS = 1 << 62
"""Event time after all others."""

CLOSED, PENDING = 1, 2
"""Flags of a window: its record was emitted once; it waits to be written."""

MIN, MAX, SUM, LAST, FIRST, COUNT, LAST_AT, FIRST_AT = range(8)
"""Columns of a cell; the two times are in milliseconds since the window's start."""

# entries of Windows.state
(
    LINE,
    CHECKED,
    PENDING_COUNT,
    PENDING_WRITTEN,
    PARTITION_MS,
    TOP_RESOURCE,
    TOP_MS,
    SECOND_MS,
    FREE_NODE,
    FREE_NODES,
    OPEN_SAMPLES,
    OPEN_WINDOWS,
    TEXT_USED,
    TEXT_COUNT,
    LATE_LINES,
    STATE_SIZE,
) = range(16)

# entries of Windows.tally
AGGREGATED, LATE, TOO_LATE, EMITTED, CORRECTIONS, TALLY_SIZE = range(6)


class Windows(NamedTuple):
    """Window slots, cells and resources; a row's slots form a ring, indexed by the window's number modulo its size."""

    number: Array  # int64[slots]: start_ms // every_ms, NEVER where the slot is empty
    first_offset: Array  # int64[slots]
    last_offset: Array  # int64[slots]
    revision: Array  # int64[slots]
    lag_ms: Array  # int64[slots]
    samples: Array  # int32[slots]
    flags: Array  # uint8[slots]
    slot_row: Array  # int32[slots]
    cell: Array  # float64[cells, 8]
    chain: Array  # int32[cells, 2]: first and last node of a counter's samples, -1 for none
    node_at: Array  # int64[nodes]: event time since the window's start
    node_value: Array  # float64[nodes]
    node_next: Array  # int32[nodes]
    newest_ms: Array  # int64[resources]: greatest event time
    idle_ms: Array  # int64[resources]: windows that end by then were closed for silence
    floor_ms: Array  # int64[resources]: windows that end by then are forgotten
    seen_partition_ms: Array  # int64[resources]: the partition's time when the resource was last heard
    seen_clock_ms: Array  # int64[resources]: the clock when it was last heard
    close_at_ms: Array  # int64[resources]: event time at which its next window closes
    pending: Array  # int32[slots]: windows to write, in order
    late_line: Array  # int64[lines]: lines that were too late
    state: Array  # int64[STATE_SIZE]
    tally: Array  # int64[TALLY_SIZE]


class Texts(NamedTuple):
    """Written records: the text of record k ends at ``end[k]``."""

    text: Bytes  # uint8
    end: Array  # int64[records]
    row: Array  # int32[records]
    start_ms: Array  # int64[records]


class Names(NamedTuple):
    """Ready-made JSON of rows and field names."""

    head: Bytes  # uint8
    fragment: Bytes  # uint8
    fragment_start: Array  # int64[names]
    fragment_length: Array  # int32[names]


def _ascii(text: bytes) -> Bytes:
    return np.frombuffer(text, np.uint8)


_END_MS = _ascii(b',"end_ms":')
_REVISION = _ascii(b',"revision":')
_FIELDS = _ascii(b',"fields":{')
_MAX = _ascii(b',"max":')
_AVG = _ascii(b',"avg":')
_LAST = _ascii(b',"last":')
_FIRST = _ascii(b',"first":')
_SUM = _ascii(b',"sum":')
_COUNT = _ascii(b',"count":')
_INCREASE = _ascii(b',"increase":')
_RATE = _ascii(b',"rate":')
_PARTITION = _ascii(b'},"partition":')
_FIRST_OFFSET = _ascii(b',"first_offset":')
_LAST_OFFSET = _ascii(b',"last_offset":')
_LAG = _ascii(b',"lag_ms":')

_FIELD_TEXT = 9 * MAX_TEXT_BYTES + 80
_RECORD_TEXT = 6 * MAX_TEXT_BYTES + 120


@njit(cache=True, nogil=True)
def _copy(source: Bytes, start: int, length: int, out: Bytes, at: int) -> int:
    for i in range(length):
        out[at + i] = source[start + i]
    return at + length


@njit(cache=True, nogil=True)
def watermark_ms(row: int, rows: RowTable, windows: Windows) -> int:
    """Give the event time up to which the windows of ``row`` are closed."""
    resource = rows.resource[row]
    return max(windows.newest_ms[resource] - rows.grace_ms[row], windows.idle_ms[resource])


@njit(cache=True, nogil=True)
def slot_of(row: int, number: int, rows: RowTable, windows: Windows) -> int:
    """Give the slot that holds window ``number`` of ``row``, or -1."""
    slot = rows.slot_base[row] + number % rows.ring[row]
    return slot if windows.number[slot] == number else np.int64(-1)


@njit(cache=True, nogil=True)
def _increase(windows: Windows, cell: int, before: int, every_ms: int) -> tuple[float, float]:
    """Sum the growth of a counter over a window; bridge from cell ``before`` of the window before, -1 for none.

    A value lower than the one before it is a reset: the counter began again at 0.

    Returns
    -------
    increase, elapsed_s : float
    """
    node = windows.chain[cell, 0]
    begin = windows.node_at[node]
    previous = windows.node_value[node]
    if before >= 0:
        begin = np.int64(windows.cell[before, LAST_AT]) - every_ms
        previous = windows.cell[before, LAST]
    total = 0.0
    at = begin
    while node >= 0:
        value = windows.node_value[node]
        total += value - previous if value >= previous else value
        previous = value
        at = windows.node_at[node]
        node = windows.node_next[node]
    return total, (at - begin) / 1000.0


@njit(cache=True, nogil=True)
def write_window(
    slot: int, partition: int, rows: RowTable, fields: FieldTable, names: Names, windows: Windows, texts: Texts
) -> bool:
    """Append the record of a window to ``texts``; False if there is no room for it."""
    row = np.int64(windows.slot_row[slot])
    base = rows.field_base[row]
    count = np.int64(rows.field_count[row])
    head_length = np.int64(rows.head_length[row])
    at = windows.state[TEXT_USED]
    record = windows.state[TEXT_COUNT]
    needed = head_length + _RECORD_TEXT
    for column in range(count):
        needed += names.fragment_length[fields.name[base + column]] + _FIELD_TEXT
    if at + needed > texts.text.shape[0] or record >= texts.end.shape[0]:
        return False
    out = texts.text
    every_ms = rows.every_ms[row]
    number = windows.number[slot]
    start_ms = number * every_ms
    cell_base = rows.cell_base[row] + (slot - rows.slot_base[row]) * rows.cell_stride[row]
    before_base = np.int64(-1)
    before = slot_of(row, number - 1, rows, windows)
    if before >= 0 and start_ms > windows.floor_ms[rows.resource[row]]:
        before_base = rows.cell_base[row] + (before - rows.slot_base[row]) * rows.cell_stride[row]
    at = _copy(names.head, rows.head_start[row], head_length, out, at)
    at = write_integer(start_ms, out, at)
    at = _copy(_END_MS, 0, len(_END_MS), out, at)
    at = write_integer(start_ms + every_ms, out, at)
    at = _copy(_REVISION, 0, len(_REVISION), out, at)
    at = write_integer(windows.revision[slot], out, at)
    at = _copy(_FIELDS, 0, len(_FIELDS), out, at)
    first = True
    for column in range(count):
        cell = cell_base + column
        samples = windows.cell[cell, COUNT]
        if samples == 0.0:
            continue
        if not first:
            out[at] = 44
            at += 1
        first = False
        name = fields.name[base + column]
        at = _copy(names.fragment, names.fragment_start[name], np.int64(names.fragment_length[name]), out, at)
        at = write_double(windows.cell[cell, MIN], out, at)
        at = _copy(_MAX, 0, len(_MAX), out, at)
        at = write_double(windows.cell[cell, MAX], out, at)
        at = _copy(_AVG, 0, len(_AVG), out, at)
        at = write_double(windows.cell[cell, SUM] / samples, out, at)
        at = _copy(_LAST, 0, len(_LAST), out, at)
        at = write_double(windows.cell[cell, LAST], out, at)
        at = _copy(_FIRST, 0, len(_FIRST), out, at)
        at = write_double(windows.cell[cell, FIRST], out, at)
        at = _copy(_SUM, 0, len(_SUM), out, at)
        at = write_double(windows.cell[cell, SUM], out, at)
        at = _copy(_COUNT, 0, len(_COUNT), out, at)
        at = write_integer(np.int64(samples), out, at)
        if fields.kind[base + column] == KIND_COUNTER:
            bridge = np.int64(-1)
            if before_base >= 0 and windows.cell[before_base + column, COUNT] > 0.0:
                bridge = before_base + column
            increase, elapsed_s = _increase(windows, cell, bridge, every_ms)
            at = _copy(_INCREASE, 0, len(_INCREASE), out, at)
            at = write_double(increase, out, at)
            if elapsed_s > 0.0:
                at = _copy(_RATE, 0, len(_RATE), out, at)
                at = write_double(increase / elapsed_s, out, at)
        out[at] = 125
        at += 1
    at = _copy(_PARTITION, 0, len(_PARTITION), out, at)
    at = write_integer(partition, out, at)
    at = _copy(_FIRST_OFFSET, 0, len(_FIRST_OFFSET), out, at)
    at = write_integer(windows.first_offset[slot], out, at)
    at = _copy(_LAST_OFFSET, 0, len(_LAST_OFFSET), out, at)
    at = write_integer(windows.last_offset[slot], out, at)
    at = _copy(_LAG, 0, len(_LAG), out, at)
    at = write_integer(windows.lag_ms[slot], out, at)
    out[at] = 125
    at += 1
    texts.end[record] = at
    texts.row[record] = row
    texts.start_ms[record] = start_ms
    windows.state[TEXT_USED] = at
    windows.state[TEXT_COUNT] = record + 1
    return True

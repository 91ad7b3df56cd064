"""The record of a window on ``metrics.agg``, written as JSON by compiled code."""

import numpy as np

from pipeline.core.compiled import Bytes, Int, compiled
from pipeline.core.decimals import MAX_TEXT_BYTES, write_double, write_integer
from pipeline.core.records.identity.interning import KIND_COUNTER, FieldTable, RowTable
from pipeline.core.windows.state import (
    COUNT,
    FIRST,
    LAST,
    LAST_AT,
    MAX,
    MIN,
    SUM,
    TEXT_COUNT,
    TEXT_USED,
    Names,
    Texts,
    Windows,
    slot_of,
)
from pipeline.core.words import copy_words


def _ascii(text: bytes) -> Bytes:
    return np.frombuffer(text + bytes(8), np.uint8)  # copied by words: room to read beyond


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

_FIELD_TEXT = 9 * 24 + 90  # nine numbers and their names
_RECORD_TEXT = 6 * 20 + 120 + MAX_TEXT_BYTES


@compiled
def _increase(windows: Windows, cell: Int, before: Int, every_ms: Int) -> tuple[float, float]:
    """Sum the growth of a counter over a window; bridge from cell ``before`` of the window before, -1 for none.

    A value lower than the one before it is a reset: the counter began again at 0 (below which no counter goes).

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
        total += value - previous if value >= previous else max(value, 0.0)
        previous = value
        at = windows.node_at[node]
        node = windows.node_next[node]
    return total, (at - begin) / 1000.0


@compiled
def write_window(
    slot: Int, partition: Int, rows: RowTable, fields: FieldTable, names: Names, windows: Windows, texts: Texts
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
    cells = windows.cell
    head, fragment = names.head, names.fragment
    fragment_start, fragment_length = names.fragment_start, names.fragment_length
    field_name, field_kind = fields.name, fields.kind
    every_ms = rows.every_ms[row]
    number = windows.number[slot]
    start_ms = number * every_ms
    cell_base = rows.cell_base[row] + (slot - rows.slot_base[row]) * rows.cell_stride[row]
    before_base = -1
    before = slot_of(row, number - 1, rows, windows)
    if before >= 0 and start_ms > windows.floor_ms[rows.resource[row]]:
        before_base = rows.cell_base[row] + (before - rows.slot_base[row]) * rows.cell_stride[row]
    at = copy_words(head, rows.head_start[row], head_length, out, at)
    at = write_integer(start_ms, out, at)
    at = copy_words(_END_MS, 0, len(_END_MS) - 8, out, at)
    at = write_integer(start_ms + every_ms, out, at)
    at = copy_words(_REVISION, 0, len(_REVISION) - 8, out, at)
    at = write_integer(windows.revision[slot], out, at)
    at = copy_words(_FIELDS, 0, len(_FIELDS) - 8, out, at)
    first = True
    for column in range(count):
        cell = cell_base + column
        samples = cells[cell, COUNT]
        if samples == 0.0:
            continue
        if not first:
            out[at] = 44
            at += 1
        first = False
        name = field_name[base + column]
        at = copy_words(fragment, fragment_start[name], np.int64(fragment_length[name]), out, at)
        at = write_double(cells[cell, MIN], out, at)
        at = copy_words(_MAX, 0, len(_MAX) - 8, out, at)
        at = write_double(cells[cell, MAX], out, at)
        at = copy_words(_AVG, 0, len(_AVG) - 8, out, at)
        at = write_double(cells[cell, SUM] / samples, out, at)
        at = copy_words(_LAST, 0, len(_LAST) - 8, out, at)
        at = write_double(cells[cell, LAST], out, at)
        at = copy_words(_FIRST, 0, len(_FIRST) - 8, out, at)
        at = write_double(cells[cell, FIRST], out, at)
        at = copy_words(_SUM, 0, len(_SUM) - 8, out, at)
        at = write_double(cells[cell, SUM], out, at)
        at = copy_words(_COUNT, 0, len(_COUNT) - 8, out, at)
        at = write_integer(np.int64(samples), out, at)
        if field_kind[base + column] == KIND_COUNTER:
            bridge = -1
            if before_base >= 0 and cells[before_base + column, COUNT] > 0.0:
                bridge = before_base + column
            increase, elapsed_s = _increase(windows, cell, bridge, every_ms)
            at = copy_words(_INCREASE, 0, len(_INCREASE) - 8, out, at)
            at = write_double(increase, out, at)
            if elapsed_s > 0.0:
                at = copy_words(_RATE, 0, len(_RATE) - 8, out, at)
                at = write_double(increase / elapsed_s, out, at)
        out[at] = 125
        at += 1
    at = copy_words(_PARTITION, 0, len(_PARTITION) - 8, out, at)
    at = write_integer(partition, out, at)
    at = copy_words(_FIRST_OFFSET, 0, len(_FIRST_OFFSET) - 8, out, at)
    at = write_integer(windows.first_offset[slot], out, at)
    at = copy_words(_LAST_OFFSET, 0, len(_LAST_OFFSET) - 8, out, at)
    at = write_integer(windows.last_offset[slot], out, at)
    at = copy_words(_LAG, 0, len(_LAG) - 8, out, at)
    at = write_integer(windows.lag_ms[slot], out, at)
    out[at] = 125
    at += 1
    texts.end[record] = at
    texts.row[record] = row
    texts.start_ms[record] = start_ms
    windows.state[TEXT_USED] = at
    windows.state[TEXT_COUNT] = record + 1
    return True

"""The windows of one partition in columns: what compiled code folds samples into."""

from typing import NamedTuple

from pipeline.core.compiled import Array, Bytes, Int, compiled
from pipeline.core.records.identity.interning import RowTable

NEVER = -(1 << 62)
"""Event time before all others."""
ALWAYS = 1 << 62
"""Event time after all others."""

CLOSED, PENDING = 1, 2
"""Flags of a window: its record was emitted once; it waits to be written."""

MIN, MAX, SUM, LAST, FIRST, COUNT, LAST_AT, FIRST_AT = 0, 1, 2, 3, 4, 5, 6, 7
"""Columns of a cell; the two times are in milliseconds since the window's start."""

# entries of Windows.state
LINE = 0
CHECKED = 1
PENDING_COUNT = 2
PENDING_WRITTEN = 3
PARTITION_MS = 4
TOP_RESOURCE = 5
TOP_MS = 6
SECOND_MS = 7
FREE_NODE = 8
FREE_NODES = 9
OPEN_SAMPLES = 10
OPEN_WINDOWS = 11
TEXT_USED = 12
TEXT_COUNT = 13
LATE_LINES = 14
WANTED_ROW = 15
WANTED_RING = 16
STATE_SIZE = 17

# entries of Windows.tally
AGGREGATED, LATE, TOO_LATE, EMITTED, CORRECTIONS, TALLY_SIZE = 0, 1, 2, 3, 4, 5


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
    record_ms: Array  # int64[resources]: greatest time in the record at hand
    lowest: Array  # int64[rows]: number of the first window that the record at hand feeds
    highest: Array  # int64[rows]: of the last
    rejected: Array  # int64[rows]: number of the newest window that a sample was too late for
    rejected_after: Array  # int64[rows]: newest offset in that window; every later sample of it was too late
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


@compiled
def watermark_ms(row: Int, rows: RowTable, windows: Windows) -> Int:
    """Return the event time up to which the windows of ``row`` are closed."""
    resource = rows.resource[row]
    return int(max(windows.newest_ms[resource] - rows.grace_ms[row], windows.idle_ms[resource]))


@compiled
def slot_of(row: Int, number: Int, rows: RowTable, windows: Windows) -> Int:
    """Return the slot that holds window ``number`` of ``row``, or -1."""
    slot = rows.slot_base[row] + number % rows.ring[row]
    return slot if windows.number[slot] == number else -1

"""Series come and go: what no window needs any more is left behind, so that memory follows the fleet as it is."""

import json

import numpy as np

from pipeline.core.compiled import Array
from pipeline.core.records.identity.interning import SeriesTable
from pipeline.core.windows.replay import release_rows
from pipeline.core.windows.state import NEVER, PARTITION_MS
from pipeline.core.windows.store import RESOURCE_FIELDS, SLOT_FIELDS, WindowStore

FORGET_RESOURCES_MS = 48 * 3_600_000
"""A resource that is silent for so long, by its partition's time, is not remembered: twice what Kafka keeps."""


def compacted(table: SeriesTable, store: WindowStore, keep: Array) -> tuple[SeriesTable, WindowStore]:
    """Return a table and a store of the kept rows alone; the old ones are not to be used any more.

    Parameters
    ----------
    table, store
        Of one partition, with no window waiting to be written.
    keep : bool[rows]
        Rows that keep a window; a row without one leaves no trace, since its resource's times stay.
    """
    release_rows(table.row_count, table.rows, table.fields, store.windows, keep)
    new_table, new_store = table.emptied(), store.emptied()
    _copy_resources(table, store, keep, new_table, new_store)
    places = np.full(table.row_count, -1, np.int64)
    identities = table.identities
    for row in np.flatnonzero(keep).tolist():
        places[row] = _copy_row(table, store, row, identities[row], new_table, new_store)
    keys = table.keys.table
    for entry in range(table.keys.count):
        place = int(places[keys.value[entry]])
        if place >= 0:
            start = int(keys.start[entry])
            raw = keys.pool[start : start + int(keys.length[entry])].tobytes()
            new_table.alias(raw, place, int(keys.salt[entry]))
    new_store.rank_resources(len(new_table.resources))
    return new_table, new_store


def _copy_resources(
    table: SeriesTable, store: WindowStore, keep: Array, new_table: SeriesTable, new_store: WindowStore
) -> None:
    w = store.windows
    partition_ms = int(w.state[PARTITION_MS])
    used = set(table.rows.resource[: table.row_count][keep].tolist())
    kept = [
        (name, number)
        for name, number in table.resources.items()
        if number in used
        or partition_ms == NEVER
        or partition_ms - int(w.seen_partition_ms[number]) < FORGET_RESOURCES_MS
    ]
    new_store.add_resources(len(kept))
    for name, number in kept:
        place = new_table.intern_resource(name)
        for column in RESOURCE_FIELDS:
            getattr(new_store.windows, column)[place] = getattr(w, column)[number]


def _copy_row(
    table: SeriesTable, store: WindowStore, row: int, identity: str, new_table: SeriesTable, new_store: WindowStore
) -> int:
    old = store.windows
    measurement, tags = json.loads(identity)
    new_row, _ = new_table.intern(measurement, tags)
    ring, stride = int(table.rows.ring[row]), int(table.rows.cell_stride[row])
    new_table.rows.ring[new_row] = ring
    new_store.add_row(new_table, new_row, (int(old.rejected[row]), int(old.rejected_after[row])))
    new_table.columns(new_row, table.column_names(row))
    new_store.fit_columns(new_table, new_row)
    w, count = new_store.windows, table.column_count(row)
    slot, new_slot = int(table.rows.slot_base[row]), int(new_table.rows.slot_base[new_row])
    for column in SLOT_FIELDS:
        getattr(w, column)[new_slot : new_slot + ring] = getattr(old, column)[slot : slot + ring]
    w.slot_row[new_slot : new_slot + ring] = new_row
    new_stride = int(new_table.rows.cell_stride[new_row])
    for place in range(ring):
        origin = int(table.rows.cell_base[row]) + place * stride
        to = int(new_table.rows.cell_base[new_row]) + place * new_stride
        w.cell[to : to + count] = old.cell[origin : origin + count]
        w.chain[to : to + count] = old.chain[origin : origin + count]
    return new_row

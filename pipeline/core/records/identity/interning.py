"""Which series a batch speaks of: raw key bytes and field names interned to integers that compiled code looks up.

A *row* is one measurement and tag set, a *column* one of its fields; row and column together are a series. Several raw
keys lead to one row: tags in another order, an older generation of identity tags, line protocol or JSON.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.core.compiled import Array, Bytes, Int, compiled
from pipeline.core.records.identity.resource import canonical_tags, resource_of
from pipeline.core.words import hash_bytes, same_bytes
from schemas.records import SCHEMA_VERSION

FORMAT_INFLUX, FORMAT_JSON = 0, 1
KIND_GAUGE, KIND_COUNTER = 0, 1

MAX_ALIASES = 64
"""Raw keys that may lead to one row: an agent that shuffles its tags is parsed slowly, and takes no memory for it."""

_LARGE = 100_000
_NO_COLUMNS: dict[str, int] = {}

WORD_BYTES = 8
"""Spare bytes behind texts that are copied by words."""

_HEAD_BEGIN = b'{"schema_version":%d,' % SCHEMA_VERSION
_HEAD_END = b',"start_ms":'
_PLAIN_NAME = re.compile(rb'[^\x00-\x20,=\\"]+')


class KeyTable(NamedTuple):
    """Open-addressed table: bytes → number. ``slot`` holds number + 1, 0 where empty; its size is a power of two."""

    slot: Array  # int32[size]
    hash: Array  # uint64[size]
    start: Array  # int64[entries], into pool
    length: Array  # int32[entries]
    value: Array  # int32[entries]: what the entry leads to
    salt: Array  # uint8[entries]: the same bytes in another format are another key
    pool: Array  # uint8


class RowTable(NamedTuple):
    """What compiled code needs to know of each row."""

    field_base: Array  # int64: where its columns begin in FieldTable
    field_count: Array  # int32
    resource: Array  # int32
    next_of_resource: Array  # int32: the resource's next row, -1 at the end
    every_ms: Array  # int64
    grace_ms: Array  # int64
    allowed_lateness_ms: Array  # int64
    ring: Array  # int32: how many windows it can keep at once
    slot_base: Array  # int64: its first window slot
    cell_base: Array  # int64: its first cell
    cell_stride: Array  # int32: cells a window (columns it has room for)
    head_start: Array  # int64: `{"schema_version":…,"start_ms":` in the head pool
    head_length: Array  # int32


class FieldTable(NamedTuple):
    """The columns of all rows, each row's in one piece."""

    name: Array  # int32: number in the table of names
    kind: Array  # uint8: KIND_GAUGE or KIND_COUNTER


@compiled
def find_key(table: KeyTable, h: np.uint64, data: Bytes, start: Int, length: Int, salt: Int) -> Int:
    """Return the value that ``data[start:start+length]`` leads to, or -1; hash equality alone is never trusted."""
    mask = table.slot.shape[0] - 1
    j = np.int64(h & np.uint64(mask))
    while True:
        entry = table.slot[j] - 1
        if entry < 0:
            return -1
        if table.hash[j] == h and table.length[entry] == length and table.salt[entry] == salt:
            if same_bytes(table.pool, table.start[entry], data, start, length):
                return np.int64(table.value[entry])
        j = (j + 1) & mask


@compiled
def _place(slot: Array, hashes: Array, h: np.uint64, entry: Int) -> None:
    mask = slot.shape[0] - 1
    j = np.int64(h & np.uint64(mask))
    while slot[j] != 0:
        j = (j + 1) & mask
    slot[j] = entry + 1
    hashes[j] = h


@compiled
def _rehash(old_slot: Array, old_hash: Array, slot: Array, hashes: Array) -> None:
    for i in range(old_slot.shape[0]):
        if old_slot[i] != 0:
            _place(slot, hashes, old_hash[i], old_slot[i] - 1)


def grown(array: Array, needed: int) -> Array:
    """Return ``array`` itself if it has ``needed`` rows, else a copy larger by half (later an eighth), zeros behind."""
    size = array.shape[0]
    if size >= needed:
        return array
    more = size // 2 if size < _LARGE else size // 8
    bigger = np.zeros((max(needed, size + more), *array.shape[1:]), array.dtype)
    bigger[:size] = array
    return bigger


class ByteKeys:
    """A growing :class:`KeyTable`."""

    def __init__(self) -> None:
        self.count = 0
        self._pool_used = 0
        self.table = KeyTable(
            slot=np.zeros(64, np.int32),
            hash=np.zeros(64, np.uint64),
            start=np.zeros(32, np.int64),
            length=np.zeros(32, np.int32),
            value=np.zeros(32, np.int32),
            salt=np.zeros(32, np.uint8),
            pool=np.zeros(1024, np.uint8),
        )

    def find(self, key: bytes, salt: int = 0) -> int:
        """Return the value of ``key``, -1 if it is not in the table."""
        data = np.frombuffer(bytearray(key), np.uint8)
        return int(find_key(self.table, np.uint64(hash_bytes(data, 0, len(key))), data, 0, len(key), salt))

    def add(self, key: bytes, value: int, salt: int = 0) -> int:
        """Add ``key``, which must not be in the table; return its entry's number."""
        data = np.frombuffer(bytearray(key), np.uint8)  # writable, as all arrays are: one compiled version serves all
        entry, used = self.count, self._pool_used
        table = self.table
        if 2 * (entry + 1) > table.slot.shape[0]:
            slot = np.zeros(2 * table.slot.shape[0], np.int32)
            hashes = np.zeros(slot.shape[0], np.uint64)
            _rehash(table.slot, table.hash, slot, hashes)
            table = table._replace(slot=slot, hash=hashes)
        table = table._replace(
            start=grown(table.start, entry + 1),
            length=grown(table.length, entry + 1),
            value=grown(table.value, entry + 1),
            salt=grown(table.salt, entry + 1),
            pool=grown(table.pool, used + len(key)),
        )
        table.start[entry], table.length[entry], table.value[entry], table.salt[entry] = used, len(key), value, salt
        table.pool[used : used + len(key)] = data
        _place(table.slot, table.hash, np.uint64(hash_bytes(data, 0, len(key))), entry)
        self.table = table
        self.count, self._pool_used = entry + 1, used + len(key)
        return entry


class WindowRule(NamedTuple):
    """The cycle of a row, in milliseconds."""

    every_ms: int
    grace_ms: int
    allowed_lateness_ms: int

    @property
    def ring(self) -> int:
        """How many windows a row keeps at once at most: open, correctable, and one more that primes counters.

        A window ``ring`` cycles older than a new one is never kept any more: with ``ring >= 2 + (grace +
        allowed lateness) / every`` its end lies below the watermark by the allowed lateness and a cycle.
        """
        return 3 + (self.grace_ms + self.allowed_lateness_ms) // self.every_ms


class SeriesTable:
    """All rows and columns of one partition.

    Parameters
    ----------
    rule_of
        Gives the window rule of a new row from its measurement and canonical tags.
    is_counter
        Tells whether (measurement, field) is a cumulative counter.
    """

    def __init__(
        self,
        rule_of: Callable[[str, Mapping[str, str]], WindowRule],
        is_counter: Callable[[str, str], bool],
    ) -> None:
        self._rule_of = rule_of
        self._is_counter = is_counter
        self.keys = ByteKeys()
        self.names = ByteKeys()
        self.row_count = 0
        self.resources: dict[str, int] = {}
        self._rows: dict[str, int] = {}
        self._measurements: list[str] = []
        self._columns: list[dict[str, int]] = []
        self._layouts: dict[tuple[str, ...], dict[str, int]] = {}
        self._name_numbers: dict[str, int] = {}
        self._field_room: list[int] = []
        self._alias_count: list[int] = []
        self._free_fields: dict[int, list[int]] = {}
        self._fields_used = 0
        self._heads_used = 0
        self._fragments_used = 0
        self._first_row = np.zeros(0, np.int32)
        self.rows = RowTable(
            **{
                name: np.zeros(0, np.int32)
                for name in ("field_count", "resource", "next_of_resource", "ring", "cell_stride", "head_length")
            },
            **{
                name: np.zeros(0, np.int64)
                for name in (
                    "field_base",
                    "every_ms",
                    "grace_ms",
                    "allowed_lateness_ms",
                    "slot_base",
                    "cell_base",
                    "head_start",
                )
            },
        )
        self.fields = FieldTable(name=np.zeros(0, np.int32), kind=np.zeros(0, np.uint8))
        self.heads = np.zeros(1024, np.uint8)
        self.fragments = np.zeros(1024, np.uint8)
        self.fragment_start = np.zeros(32, np.int64)
        self.fragment_length = np.zeros(32, np.int32)

    @property
    def first_row(self) -> Array:
        """The first row of each resource, int32; -1 for none."""
        return self._first_row

    def intern(self, measurement: str, tags: Mapping[str, str]) -> tuple[int, bool]:
        """Return the row of a measurement and its tags as they came, and whether it is new."""
        canonical = canonical_tags(tags)
        identity = json.dumps([measurement, canonical], ensure_ascii=False, separators=(",", ":"))
        row = self._rows.get(identity)
        if row is not None:
            return row, False
        row = self.row_count
        rule = self._rule_of(measurement, canonical)
        resource = self.intern_resource(resource_of(canonical))
        head = b'%b"measurement":%b,"tags":%b%b' % (
            _HEAD_BEGIN,
            json.dumps(measurement, ensure_ascii=False).encode(),
            json.dumps(canonical, ensure_ascii=False, separators=(",", ":")).encode(),
            _HEAD_END,
        )
        self.rows = RowTable(*(grown(column, row + 1) for column in self.rows))
        self.heads = grown(self.heads, self._heads_used + len(head) + WORD_BYTES)
        self.heads[self._heads_used : self._heads_used + len(head)] = np.frombuffer(head, np.uint8)
        rows = self.rows
        rows.field_base[row], rows.field_count[row] = 0, 0
        rows.resource[row], rows.next_of_resource[row] = resource, self._first_row[resource]
        rows.every_ms[row], rows.grace_ms[row], rows.allowed_lateness_ms[row] = rule
        rows.ring[row] = rule.ring
        rows.head_start[row], rows.head_length[row] = self._heads_used, len(head)
        self._first_row[resource] = row
        self._heads_used += len(head)
        self._rows[identity] = row
        self._measurements.append(measurement)
        self._columns.append(_NO_COLUMNS)
        self._field_room.append(0)
        self._alias_count.append(0)
        self.row_count = row + 1
        return row, True

    @property
    def identities(self) -> list[str]:
        """Each row's measurement and canonical tags as JSON, in the order of the rows."""
        return list(self._rows)

    def name(self, row: int) -> tuple[str, dict[str, str]]:
        """Return a row's measurement and canonical tags."""
        start = int(self.rows.head_start[row])
        head = self.heads[start : start + int(self.rows.head_length[row])].tobytes()
        name = json.loads(head.removesuffix(_HEAD_END) + b"}")
        return name["measurement"], name["tags"]

    def intern_resource(self, name: str) -> int:
        """Return the number of a resource, a new one to a new name."""
        number = self.resources.get(name)
        if number is None:
            number = len(self.resources)
            self.resources[name] = number
            self._first_row = grown(self._first_row, number + 1)
            self._first_row[number] = -1
        return number

    def columns(self, row: int, fields: Sequence[str]) -> list[int]:
        """Return the columns of ``fields`` in ``row``; new ones are added behind."""
        known = self._columns[row]
        new = [name for name in dict.fromkeys(fields) if name not in known]
        if new:
            self._add_columns(row, new)
            known = self._columns[row]
        return [known[name] for name in fields]

    def column_names(self, row: int) -> list[str]:
        """Return the names of a row's columns, in their order."""
        return list(self._columns[row])

    def emptied(self) -> "SeriesTable":
        """Return a table without rows, of the same rules."""
        return SeriesTable(self._rule_of, self._is_counter)

    def column_count(self, row: int) -> int:
        """Count the columns of ``row``."""
        return len(self._columns[row])

    def _add_columns(self, row: int, new: Sequence[str]) -> None:
        known, rows = self._columns[row], self.rows
        count = len(known) + len(new)
        room = self._field_room[row]
        if count > room:
            bigger = count if room == 0 else max(count, 2 * room)
            free = self._free_fields.get(bigger)
            base = free.pop() if free else self._fields_used
            if base == self._fields_used:
                self._fields_used += bigger
                self.fields = FieldTable(*(grown(column, self._fields_used) for column in self.fields))
            old = int(rows.field_base[row])
            for values in self.fields:
                values[base : base + len(known)] = values[old : old + len(known)]
            if room:
                self._free_fields.setdefault(room, []).append(old)
            rows.field_base[row], self._field_room[row] = base, bigger
        base = int(rows.field_base[row])
        measurement = self._measurements[row]
        for column, name in enumerate(new, len(known)):
            self.fields.name[base + column] = self._intern_name(name)
            self.fields.kind[base + column] = KIND_COUNTER if self._is_counter(measurement, name) else KIND_GAUGE
        names = (*known, *new)
        # rows with the same columns share one dictionary of them
        self._columns[row] = self._layouts.setdefault(names, {name: column for column, name in enumerate(names)})
        rows.field_count[row] = count

    def _intern_name(self, name: str) -> int:
        known = self._name_numbers.get(name)
        if known is not None:
            return known
        key = name.encode()
        number = self._name_numbers[name] = self.names.count
        # a name that line protocol must escape is never found by the fast path: its salt says so
        self.names.add(key, number, 0 if _PLAIN_NAME.fullmatch(key) else 1)
        fragment = b'%b:{"min":' % json.dumps(name, ensure_ascii=False).encode()
        used = self._fragments_used
        self.fragments = grown(self.fragments, used + len(fragment) + WORD_BYTES)
        self.fragments[used : used + len(fragment)] = np.frombuffer(fragment, np.uint8)
        self.fragment_start = grown(self.fragment_start, number + 1)
        self.fragment_length = grown(self.fragment_length, number + 1)
        self.fragment_start[number], self.fragment_length[number] = used, len(fragment)
        self._fragments_used = used + len(fragment)
        return number

    def alias(self, raw_key: bytes, row: int, text_format: int) -> None:
        """Let ``raw_key``, as it stands in records of ``text_format``, lead to ``row``; of a bounded number of them."""
        if self._alias_count[row] < MAX_ALIASES and self.keys.find(raw_key, text_format) < 0:
            self._alias_count[row] += 1
            self.keys.add(raw_key, row, text_format)

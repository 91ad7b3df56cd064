"""Keys, rows and columns keep their numbers while their tables grow, and equal hashes are no equal keys."""

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.records.identity.interning import (
    FORMAT_INFLUX,
    FORMAT_JSON,
    ByteKeys,
    SeriesTable,
    WindowRule,
    find_key,
)

KEYS = st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 1)), unique=True, max_size=200)


def new_table() -> SeriesTable:
    return SeriesTable(lambda *_: WindowRule(10_000, 0, 0), lambda _, name: name == "c")


@settings(deadline=None)
@given(KEYS)
def test_every_key_leads_to_its_own_value(keys: list[tuple[bytes, int]]) -> None:
    table = ByteKeys()
    for number, (key, salt) in enumerate(keys):
        assert table.find(key, salt) == -1
        table.add(key, number, salt)
    assert [table.find(key, salt) for key, salt in keys] == list(range(len(keys)))


def test_a_table_of_many_keys_finds_them_all() -> None:
    table = ByteKeys()
    keys = [b"cpu,host=vm-%05d,region=%d" % (number, number % 7) for number in range(20_000)]
    for number, key in enumerate(keys):
        table.add(key, number)
    for number in random.Random(1).sample(range(len(keys)), 3_000):
        assert table.find(keys[number]) == number
        assert table.find(keys[number] + b" ") == -1
        assert table.find(keys[number][:-1]) == -1
        assert table.find(keys[number], 1) == -1


def test_two_keys_of_one_hash_stay_apart() -> None:
    """Which keys collide is the hash's business: here the table is told that all of them do."""
    table = ByteKeys()
    keys = [b"a", b"b", b"ab", b"a-key-of-more-than-eight-bytes", b"a-key-of-more-than-eight-bytez"]
    for number, key in enumerate(keys):
        table.add(key, number)
    same = np.uint64(7)
    slot, hashes = np.zeros_like(table.table.slot), np.zeros_like(table.table.hash)
    for number in range(len(keys)):
        slot[7 + number], hashes[7 + number] = number + 1, same
    collided = table.table._replace(slot=slot, hash=hashes)
    for number, key in enumerate(keys):
        data = np.frombuffer(bytearray(key), np.uint8)
        assert find_key(collided, same, data, 0, len(key), 0) == number
    other = np.frombuffer(bytearray(b"c"), np.uint8)
    assert find_key(collided, same, other, 0, 1, 0) == -1


def test_the_same_bytes_in_another_format_are_another_key() -> None:
    table = new_table()
    first, _ = table.intern("a", {})
    second, _ = table.intern("b", {})
    table.alias(b"key", first, FORMAT_INFLUX)
    table.alias(b"key", second, FORMAT_JSON)
    assert (table.keys.find(b"key", FORMAT_INFLUX), table.keys.find(b"key", FORMAT_JSON)) == (first, second)


def test_rows_keep_their_numbers_and_columns_while_tables_grow() -> None:
    table, r = new_table(), random.Random(2)
    known: dict[tuple[str, str], tuple[int, list[str]]] = {}
    for _ in range(3_000):
        key = (r.choice("abc"), f"h{r.randrange(200)}")
        row, is_new = table.intern(key[0], {"host": key[1]})
        assert is_new == (key not in known)
        number, names = known.setdefault(key, (row, []))
        assert row == number
        fields = [f"f{r.randrange(40)}" for _ in range(r.randrange(1, 6))]
        names.extend(name for name in dict.fromkeys(fields) if name not in names)
        assert table.columns(row, fields) == [names.index(name) for name in fields]
    for row, names in known.values():
        assert table.columns(row, names) == list(range(len(names)))
        base = int(table.rows.field_base[row])
        numbers = table.fields.name[base : base + len(names)].tolist()
        assert numbers == [table.names.find(name.encode()) for name in names]
        assert int(table.rows.field_count[row]) == len(names)


def test_all_rows_of_a_resource_are_linked() -> None:
    table = new_table()
    rows = {
        host: [table.intern("disk", {"host": host, "device": f"sd{number}"})[0] for number in range(30)]
        for host in ("a", "b")
    }
    for host, number in table.resources.items():
        linked = []
        row = int(table.first_row[number])
        while row >= 0:
            linked.append(row)
            row = int(table.rows.next_of_resource[row])
        assert sorted(linked) == rows[host]


def test_a_counter_is_told_from_a_gauge() -> None:
    table = new_table()
    row, _ = table.intern("net", {})
    table.columns(row, ["v", "c"])
    base = int(table.rows.field_base[row])
    assert table.fields.kind[base : base + 2].tolist() == [0, 1]


def test_names_that_json_and_line_protocol_write_in_two_ways_are_one_field() -> None:
    table = new_table()
    row, _ = table.intern("net", {})
    assert table.columns(row, ["a b", 'q"q', "a b"]) == [0, 1, 0]
    assert table.column_count(row) == 2

"""A line of line protocol on the fast path."""

import numpy as np

from pipeline.core.compiled import Array, Bytes, Int, compiled, compiled_inline
from pipeline.core.records.identity.interning import FORMAT_INFLUX, KeyTable, find_key
from pipeline.core.records.telegraf.fast_values import (
    MAX_FIELDS,
    UNIT_NS,
    boolean_at,
    integer_at,
    is_simple_name,
    milliseconds,
    number_at,
    plain_string_end,
)
from pipeline.core.words import find_equals, find_key_end, hash_bytes, same_bytes


@compiled
def key_end(data: Bytes, p: Int, end: Int) -> Int:
    """Return where the key of a line of line protocol ends: its first space that no backslash precedes; -1 for none."""
    while p < end:
        c = data[p]
        if c == 32:
            return p
        if c == 92:
            p += 1
        elif c < 32:
            return -1
        p += 1
    return -1


@compiled_inline
def influx_line(
    data: Bytes,
    p: Int,
    end: Int,
    keys: KeyTable,
    names: KeyTable,
    name_start: Array,
    name_length: Array,
    name_salt: Array,
    name_pool: Bytes,
    field_base: Array,
    field_count: Array,
    field_name: Array,
    sample_column: Array,
    sample_value: Array,
    seen: Array,
    serial: Int,
    unit: Int,
    record_time_ms: Int,
    at: Int,
) -> tuple[Int, Int, Int, Int, Int]:
    """Parse one line at ``p``, its samples written from ``at`` on.

    Returns the position after its newline, or -1; its row, its time in milliseconds, where its samples end, and how
    many strings were left out.
    """
    begin = p
    after: Int = -1
    row: Int = -1
    time_ms = record_time_ms
    strings = 0
    p = find_key_end(data, p, end)
    while p + 1 < end and data[p] == 92:
        p = find_key_end(data, p + 2, end)
    if p < end and data[p] == 32:
        row = find_key(keys, hash_bytes(data, begin, p), data, begin, p - begin, FORMAT_INFLUX)
    if row >= 0:
        p += 1
        base = field_base[row]
        count = np.int64(field_count[row])
        expected: Int = 0
        ordered = True
        good = False
        while True:
            # the field's name: most often the one that came after the last one before
            column: Int = -1
            if expected < count:
                name: Int = np.int64(field_name[base + expected])
                length = np.int64(name_length[name])
                if (
                    p + length < end
                    and data[p + length] == 61
                    and name_salt[name] == 0
                    and same_bytes(name_pool, name_start[name], data, p, length)
                ):
                    column = expected
                    p += length + 1
            if column < 0:
                start = p
                p = find_equals(data, p, end)
                name = find_key(names, hash_bytes(data, start, p), data, start, p - start, 0)
                p += 1
                if p >= end:
                    break
                if name >= 0:
                    for i in range(count):
                        if field_name[base + i] == name:
                            column = i
                            break
                elif data[p] != 34 or not is_simple_name(data, start, p - 1):
                    break  # not a string that nobody keeps
            if p >= end:
                break
            c = data[p]
            if c == 34:
                if column >= 0:
                    break  # a column that has had numbers: the plain parser sees to doubled names
                p = plain_string_end(data, p, end)
                if p < 0:
                    break
                strings += 1
            else:
                if column < 0 or column >= MAX_FIELDS:
                    break
                if c <= 57:
                    p, value = number_at(data, p, end, False)
                else:
                    p, value = boolean_at(data, p, end, False)
                if p < 0:
                    break
                if column < expected:
                    ordered = False
                if not ordered and seen[column] == serial:
                    break
                seen[column] = serial
                sample_column[at] = column
                sample_value[at] = value
                at += 1
                expected = column + 1
            if p < end and data[p] == 44:
                p += 1
                continue
            good = True
            break
        if good:
            if p < end and data[p] == 32:
                p, stamp = integer_at(data, p + 1, end)
                if p >= 0:
                    good, time_ms = milliseconds(stamp, unit, UNIT_NS)
            if p >= 0 and good:
                if p + 1 < end and data[p] == 13:
                    p += 1
                if p == end:
                    after = p
                elif data[p] == 10:
                    after = p + 1
    return after, row, time_ms, at, strings

"""A metric of Telegraf's JSON on the fast path."""

import numpy as np

from pipeline.core.compiled import Array, Bytes, Int, compiled
from pipeline.core.records.identity.interning import FORMAT_JSON, KeyTable, find_key
from pipeline.core.records.telegraf.fast_values import (
    MAX_FIELDS,
    UNIT_S,
    boolean_at,
    integer_at,
    is_simple_name,
    milliseconds,
    number_at,
    plain_string_end,
    word_at,
)
from pipeline.core.words import hash_bytes

_FIELDS = int.from_bytes(b'{"fields')


_NAME = int.from_bytes(b'"name":"')


_TAGS = int.from_bytes(b',"tags":')


_TIMESTAMP = int.from_bytes(b'"timesta')


@compiled
def json_key_end(data: Bytes, p: Int, end: Int) -> Int:
    """Return where the text from ``"name":`` through the closing brace of ``"tags":{…}`` ends; -1 if ``p`` has none."""
    if not word_at(data, p, end, _NAME, 8):
        return -1
    p += 8
    while p < end and data[p] != 34:
        if data[p] == 92:
            return -1
        p += 1
    p += 1
    if not word_at(data, p, end, _TAGS, 8) or p + 8 >= end or data[p + 8] != 123:
        return -1
    p += 9
    quoted = False
    while p < end:
        c = data[p]
        if quoted:
            if c == 92:
                p += 1
            elif c == 34:
                quoted = False
        elif c == 34:
            quoted = True
        elif c == 125:
            return p + 1
        p += 1
    return -1


@compiled
def json_fields_end(data: Bytes, p: Int, end: Int) -> Int:
    """Return where the closing brace of ``{"fields":{…}`` at ``p`` ends; -1 if there is none or a value is nested."""
    if not word_at(data, p, end, _FIELDS, 8) or p + 11 > end or data[p + 8] != 34 or data[p + 9] != 58:
        return -1
    if data[p + 10] != 123:
        return -1
    p += 11
    quoted = False
    while p < end:
        c = data[p]
        if quoted:
            if c == 92:
                p += 1
            elif c == 34:
                quoted = False
        elif c == 34:
            quoted = True
        elif c == 125:
            return p + 1
        elif c == 123 or c == 91:
            return -1
        p += 1
    return -1


@compiled
def json_metric(
    data: Bytes,
    p: Int,
    end: Int,
    keys: KeyTable,
    names: KeyTable,
    field_base: Array,
    field_count: Array,
    field_name: Array,
    sample_column: Array,
    sample_value: Array,
    scratch_name: Array,
    seen: Array,
    serial: Int,
    unit: Int,
    at: Int,
) -> tuple[Int, Int, Int, Int, Int]:
    """Parse ``{"fields":{…},"name":…,"tags":{…},"timestamp":…}`` at ``p``; gives what :func:`influx_line` gives."""
    strings = 0
    if not word_at(data, p, end, _FIELDS, 8) or p + 12 > end:
        return -1, 0, 0, 0, 0
    if data[p + 8] != 34 or data[p + 9] != 58 or data[p + 10] != 123:
        return -1, 0, 0, 0, 0
    p += 11
    found = 0
    while True:
        if p >= end or data[p] != 34:
            return -1, 0, 0, 0, 0
        p += 1
        start = p
        while p < end and data[p] != 34:
            if data[p] == 92 or data[p] < 32:
                return -1, 0, 0, 0, 0
            p += 1
        name = find_key(names, hash_bytes(data, start, p), data, start, p - start, 0)
        name_end = p
        p += 1
        if p + 1 >= end or data[p] != 58:
            return -1, 0, 0, 0, 0
        p += 1
        c = data[p]
        if c == 34:
            if name >= 0 or not is_simple_name(data, start, name_end):
                return -1, 0, 0, 0, 0
            p = plain_string_end(data, p, end)
            if p < 0:
                return -1, 0, 0, 0, 0
            strings += 1
        else:
            if name < 0 or found == MAX_FIELDS:
                return -1, 0, 0, 0, 0
            if c <= 57:
                p, value = number_at(data, p, end, True)
            else:
                p, value = boolean_at(data, p, end, True)
            if p < 0:
                return -1, 0, 0, 0, 0
            scratch_name[found] = name
            sample_value[at + found] = value
            found += 1
        if p >= end:
            return -1, 0, 0, 0, 0
        if data[p] == 44:
            p += 1
            continue
        if data[p] == 125 and p + 1 < end and data[p + 1] == 44:
            p += 2
            break
        return -1, 0, 0, 0, 0
    begin = p
    p = json_key_end(data, p, end)
    if p < 0:
        return -1, 0, 0, 0, 0
    row = find_key(keys, hash_bytes(data, begin, p), data, begin, p - begin, FORMAT_JSON)
    if row < 0:
        return -1, 0, 0, 0, 0
    base = field_base[row]
    count = np.int64(field_count[row])
    expected = 0
    for k in range(found):
        name = scratch_name[k]
        column = -1
        if expected < count and field_name[base + expected] == name:
            column = expected
        else:
            for i in range(count):
                if field_name[base + i] == name:
                    column = i
                    break
        if column < 0 or column >= MAX_FIELDS or seen[column] == serial:
            return -1, 0, 0, 0, 0
        seen[column] = serial
        sample_column[at + k] = column
        expected = column + 1
    # ,"timestamp":N}
    if p + 13 >= end or data[p] != 44 or not word_at(data, p + 1, end, _TIMESTAMP, 8):
        return -1, 0, 0, 0, 0
    if data[p + 9] != 109 or data[p + 10] != 112 or data[p + 11] != 34 or data[p + 12] != 58:
        return -1, 0, 0, 0, 0
    if data[p + 13] == 48 or data[p + 13] == 45:
        return -1, 0, 0, 0, 0
    p, stamp = integer_at(data, p + 13, end)
    if p < 0 or p >= end or data[p] != 125:
        return -1, 0, 0, 0, 0
    fits, time_ms = milliseconds(stamp, unit, UNIT_S)
    if not fits:
        return -1, 0, 0, 0, 0
    return p + 1, row, time_ms, at + found, strings

"""The fast path: joined records → columns, in one compiled pass over the bytes.

It takes what Telegraf agents really send (plain line protocol with one or many lines a record, and Telegraf's JSON in
both shapes, for keys it has seen before) and refuses everything else record by record: a new key or field, escapes in
field names, strings with escapes or newlines, subnormal numbers, unusual white space, anything that is wrong. What it
refuses goes to the plain parsers, which decide; what it takes, it takes with exactly their result.
"""

from typing import NamedTuple

import numpy as np

from pipeline.core.compiled import compiled, compiled_inline
from pipeline.core.decimals import double_of_decimal
from pipeline.core.series import (
    FORMAT_INFLUX,
    FORMAT_JSON,
    Array,
    Bytes,
    FieldTable,
    Ints,
    KeyTable,
    RowTable,
    find_key,
)
from pipeline.core.words import eight_digits, find_equals, find_key_end, hash_bytes, load_word, same_bytes

UNIT_NS, UNIT_US, UNIT_MS, UNIT_S, UNIT_AUTO = 0, 1, 2, 3, 4
FORMAT_AUTO = 2

_MAX_FIELDS = 1024
_MAX_DIGITS = 19
_LARGEST_INTEGER = np.uint64((1 << 63) - 1)


class Columns(NamedTuple):
    """The lines and samples of some records, in the order of the input."""

    line_row: Array  # int32[lines]
    line_time_ms: Array  # int64[lines]
    line_record: Array  # int32[lines]: index of the record in its batch
    line_sample: Array  # int64[lines + 1]: where the line's samples begin
    sample_column: Array  # int32[samples]
    sample_value: Array  # float64[samples]
    counts: Array  # int64[3]: lines, samples, strings left out


class Scratch(NamedTuple):
    """Room for one line's fields."""

    name: Array  # int32[_MAX_FIELDS]
    seen: Array  # int64[_MAX_FIELDS]: serial number of the line that had this column last


def new_columns(samples: int) -> Columns:
    """Give columns with room for ``samples`` samples and as many lines."""
    return Columns(
        line_row=np.empty(samples, np.int32),
        line_time_ms=np.empty(samples, np.int64),
        line_record=np.empty(samples, np.int32),
        line_sample=np.zeros(samples + 1, np.int64),
        sample_column=np.empty(samples, np.int32),
        sample_value=np.empty(samples, np.float64),
        counts=np.zeros(3, np.int64),
    )


def new_scratch() -> Scratch:
    """Give a scratch area."""
    return Scratch(name=np.empty(_MAX_FIELDS, np.int32), seen=np.zeros(_MAX_FIELDS, np.int64))


@compiled
def _number(data: Bytes, p: int, end: int, json: bool) -> tuple[int, float]:
    """Read a number at ``p``; give the position after it and its value, or -1 where the plain parser must look."""
    negative = False
    if p < end and data[p] == 45:
        negative = True
        p += 1
    first = p
    significand = np.uint64(0)
    while p < end:
        d = np.uint64(data[p]) - np.uint64(48)
        if d > np.uint64(9):
            break
        significand = significand * np.uint64(10) + d
        p += 1
    whole = p - first
    exponent = 0
    digits = whole
    if p < end and data[p] == 46:
        p += 1
        point = p
        while p + 8 <= end:
            eight = eight_digits(load_word(data, p))
            if eight < 0:
                break
            significand = significand * np.uint64(100_000_000) + np.uint64(eight)
            p += 8
        while p < end:
            d = np.uint64(data[p]) - np.uint64(48)
            if d > np.uint64(9):
                break
            significand = significand * np.uint64(10) + d
            p += 1
        exponent = point - p
        digits += p - point
        if json and (whole == 0 or exponent == 0):
            return -1, 0.0
    if digits == 0 or digits > _MAX_DIGITS or (json and whole > 1 and data[first] == 48):
        return -1, 0.0
    if p < end and (data[p] == 101 or data[p] == 69):
        p += 1
        minus = False
        if p < end and (data[p] == 43 or data[p] == 45):
            minus = data[p] == 45
            p += 1
        begin = p
        power = 0
        while p < end and 48 <= data[p] <= 57 and p - begin < 5:
            power = power * 10 + (np.int64(data[p]) - 48)
            p += 1
        if p == begin or (p < end and 48 <= data[p] <= 57):
            return -1, 0.0
        exponent += -power if minus else power
    elif not json and p < end and (data[p] == 105 or data[p] == 117):
        # an integer: no point, no leading zero, and within 64 bits whatever its sign
        if exponent != 0 or digits != whole or data[p - 1] == 46 or (whole > 1 and data[first] == 48):
            return -1, 0.0
        if data[p] == 117:
            if negative:
                return -1, 0.0
        elif significand > _LARGEST_INTEGER:
            return -1, 0.0
        negative = negative and significand != 0  # an integer has no negative zero
        p += 1
    elif json and exponent == 0:
        negative = negative and significand != 0
    decided, value = double_of_decimal(significand, exponent)
    if not decided:
        return -1, 0.0
    return p, -value if negative else value


@compiled
def _word(data: Bytes, p: int, end: int, word: int, length: int) -> bool:
    """Tell whether ``length`` bytes at ``p`` are those of ``word`` (big-endian)."""
    if p + length > end:
        return False
    for i in range(length):
        if np.int64(data[p + i]) != (word >> (8 * (length - 1 - i))) & 255:
            return False
    return True


_TRUE, _FALSE = int.from_bytes(b"true"), int.from_bytes(b"false")
_TRUE_UPPER, _FALSE_UPPER = int.from_bytes(b"TRUE"), int.from_bytes(b"FALSE")
_TRUE_TITLE, _FALSE_TITLE = int.from_bytes(b"True"), int.from_bytes(b"False")


@compiled
def _boolean(data: Bytes, p: int, end: int, json: bool) -> tuple[int, float]:
    """Read a boolean at ``p`` as 0 or 1; the position after it, or -1."""
    if _word(data, p, end, _TRUE, 4) or (
        not json and (_word(data, p, end, _TRUE_UPPER, 4) or _word(data, p, end, _TRUE_TITLE, 4))
    ):
        return p + 4, 1.0
    if _word(data, p, end, _FALSE, 5) or (
        not json and (_word(data, p, end, _FALSE_UPPER, 5) or _word(data, p, end, _FALSE_TITLE, 5))
    ):
        return p + 5, 0.0
    if not json and p < end:
        if data[p] == 116 or data[p] == 84:
            return p + 1, 1.0
        if data[p] == 102 or data[p] == 70:
            return p + 1, 0.0
    return -1, 0.0


@compiled
def _simple_name(data: Bytes, p: int, end: int) -> bool:
    """Tell whether a field name needs no second look: letters, digits and punctuation that mean nothing else."""
    if p >= end:
        return False
    for i in range(p, end):
        c = data[i]
        if c <= 32 or c > 126 or c == 44 or c == 92:
            return False
    return True


@compiled
def _plain_string(data: Bytes, p: int, end: int) -> int:
    """Skip a quoted string at ``p`` that has no escape, control or non-ASCII byte; the position after it, or -1."""
    p += 1
    while p < end:
        c = data[p]
        if c == 34:
            return p + 1
        if c == 92 or c < 32 or c > 126:
            return -1
        p += 1
    return -1


@compiled
def _time_ms(value: int, unit: int, small_unit: int) -> tuple[bool, int]:
    """Convert a timestamp to whole milliseconds; False where it does not fit in 64-bit nanoseconds."""
    if unit == UNIT_AUTO:
        size = abs(value)
        if size < 100_000_000:
            unit = small_unit
        elif size < 100_000_000_000:
            unit = UNIT_S
        elif size < 100_000_000_000_000:
            unit = UNIT_MS
        elif size < 100_000_000_000_000_000:
            unit = UNIT_US
        else:
            unit = UNIT_NS
    if unit == UNIT_NS:
        return True, value // 1_000_000
    if unit == UNIT_US:
        return abs(value) <= 9_223_372_036_854_775, value // 1_000
    if unit == UNIT_MS:
        return abs(value) <= 9_223_372_036_854, value
    return abs(value) <= 9_223_372_036, value * 1_000


@compiled
def _integer(data: Bytes, p: int, end: int) -> tuple[int, int]:
    """Read an integer of at most 18 digits, or 19 that fit; the position after it, or -1."""
    negative = False
    if p < end and data[p] == 45:
        negative = True
        p += 1
    begin = p
    value = np.int64(0)
    while p < end and 48 <= data[p] <= 57:
        if p - begin == 18 and value > 922_337_203_685_477_579:
            return -1, 0
        if p - begin == 19:
            return -1, 0
        value = value * 10 + (np.int64(data[p]) - 48)
        p += 1
    if p == begin:
        return -1, 0
    return p, -value if negative else value


@compiled
def key_end(data: Bytes, p: int, end: int) -> int:
    """Give where the key of a line of line protocol ends: its first space that no backslash precedes; -1 for none."""
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


_FIELDS = int.from_bytes(b'{"fields')
_NAME = int.from_bytes(b'"name":"')
_TAGS = int.from_bytes(b',"tags":')
_TIMESTAMP = int.from_bytes(b'"timesta')
_METRICS = int.from_bytes(b'{"metric')


@compiled
def json_key_end(data: Bytes, p: int, end: int) -> int:
    """Give where the text from ``"name":`` through the closing brace of ``"tags":{…}`` ends; -1 if ``p`` has none."""
    if not _word(data, p, end, _NAME, 8):
        return -1
    p += 8
    while p < end and data[p] != 34:
        if data[p] == 92:
            return -1
        p += 1
    p += 1
    if not _word(data, p, end, _TAGS, 8) or p + 8 >= end or data[p + 8] != 123:
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
def json_fields_end(data: Bytes, p: int, end: int) -> int:
    """Give where the closing brace of ``{"fields":{…}`` at ``p`` ends; -1 if there is none or a value is nested."""
    if not _word(data, p, end, _FIELDS, 8) or p + 11 > end or data[p + 8] != 34 or data[p + 9] != 58:
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


@compiled_inline
def _influx_line(
    data: Bytes,
    p: int,
    end: int,
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
    serial: int,
    unit: int,
    record_time_ms: int,
    at: int,
) -> tuple[int, int, int, int, int]:
    """Parse one line at ``p``, its samples written from ``at`` on.

    Gives the position after its newline, or -1; its row, its time in milliseconds, where its samples end, and how many
    strings were left out.
    """
    begin = p
    after = np.int64(-1)
    row = np.int64(-1)
    time_ms = np.int64(record_time_ms)
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
        expected = np.int64(0)
        ordered = True
        good = False
        while True:
            # the field's name: most often the one that came after the last one before
            column = np.int64(-1)
            if expected < count:
                name = np.int64(field_name[base + expected])
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
                elif data[p] != 34 or not _simple_name(data, start, p - 1):
                    break  # not a string that nobody keeps
            if p >= end:
                break
            c = data[p]
            if c == 34:
                if column >= 0:
                    break  # a column that has had numbers: the plain parser sees to doubled names
                p = _plain_string(data, p, end)
                if p < 0:
                    break
                strings += 1
            else:
                if column < 0 or column >= _MAX_FIELDS:
                    break
                if c <= 57:
                    p, value = _number(data, p, end, False)
                else:
                    p, value = _boolean(data, p, end, False)
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
                p, stamp = _integer(data, p + 1, end)
                if p >= 0:
                    good, time_ms = _time_ms(stamp, unit, UNIT_NS)
            if p >= 0 and good:
                if p + 1 < end and data[p] == 13:
                    p += 1
                if p == end:
                    after = p
                elif data[p] == 10:
                    after = p + 1
    return after, row, time_ms, at, strings


@compiled
def _json_metric(
    data: Bytes,
    p: int,
    end: int,
    keys: KeyTable,
    names: KeyTable,
    field_base: Array,
    field_count: Array,
    field_name: Array,
    sample_column: Array,
    sample_value: Array,
    scratch_name: Array,
    seen: Array,
    serial: int,
    unit: int,
    at: int,
) -> tuple[int, int, int, int, int]:
    """Parse ``{"fields":{…},"name":…,"tags":{…},"timestamp":…}`` at ``p``; gives what :func:`_influx_line` gives."""
    strings = 0
    if not _word(data, p, end, _FIELDS, 8) or p + 12 > end:
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
            if name >= 0 or not _simple_name(data, start, name_end):
                return -1, 0, 0, 0, 0
            p = _plain_string(data, p, end)
            if p < 0:
                return -1, 0, 0, 0, 0
            strings += 1
        else:
            if name < 0 or found == _MAX_FIELDS:
                return -1, 0, 0, 0, 0
            if c <= 57:
                p, value = _number(data, p, end, True)
            else:
                p, value = _boolean(data, p, end, True)
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
    expected = np.int64(0)
    for k in range(found):
        name = scratch_name[k]
        column = np.int64(-1)
        if expected < count and field_name[base + expected] == name:
            column = expected
        else:
            for i in range(count):
                if field_name[base + i] == name:
                    column = i
                    break
        if column < 0 or column >= _MAX_FIELDS or seen[column] == serial:
            return -1, 0, 0, 0, 0
        seen[column] = serial
        sample_column[at + k] = column
        expected = column + 1
    # ,"timestamp":N}
    if p + 13 >= end or data[p] != 44 or not _word(data, p + 1, end, _TIMESTAMP, 8):
        return -1, 0, 0, 0, 0
    if data[p + 9] != 109 or data[p + 10] != 112 or data[p + 11] != 34 or data[p + 12] != 58:
        return -1, 0, 0, 0, 0
    if data[p + 13] == 48 or data[p + 13] == 45:
        return -1, 0, 0, 0, 0
    p, stamp = _integer(data, p + 13, end)
    if p < 0 or p >= end or data[p] != 125:
        return -1, 0, 0, 0, 0
    fits, time_ms = _time_ms(stamp, unit, UNIT_S)
    if not fits:
        return -1, 0, 0, 0, 0
    return p + 1, row, time_ms, at + found, strings


@compiled
def parse_records(
    data: Bytes,
    value_start: Ints,
    value_end: Ints,
    record_time_ms: Ints,
    first: int,
    last: int,
    keys: KeyTable,
    names: KeyTable,
    rows: RowTable,
    fields: FieldTable,
    out: Columns,
    scratch: Scratch,
    serial: int,
    text_format: int,
    influx_unit: int,
    json_unit: int,
    latest_ms: int,
    max_bytes: int,
) -> tuple[int, int]:
    """Parse records ``first`` to ``last`` until one is refused or ``out`` is full.

    Parameters
    ----------
    data
        Bytes of all records.
    value_start, value_end, record_time_ms
        Each record's span in ``data`` and its Kafka timestamp, int64[records]; a negative time is none.
    first, last
        Range of records to parse.
    keys, names, rows, fields
        The series table.
    out, scratch
        Where lines and samples are appended, and working space.
    serial
        A number no earlier line was parsed under.
    text_format, influx_unit, json_unit
        Settings: which format is taken, and the units of timestamps.
    latest_ms
        Greatest acceptable event time; what lies further ahead is refused.
    max_bytes
        Longest acceptable record.

    Returns
    -------
    record : int
        The first record that was not parsed: refused, or without room in ``out``; ``last`` if all were.
    serial : int
        The next free serial number.
    """
    line_row, line_time_ms, line_record = out.line_row, out.line_time_ms, out.line_record
    line_sample, sample_column, sample_value = out.line_sample, out.sample_column, out.sample_value
    name_start, name_length, name_salt, name_pool = names.start, names.length, names.salt, names.pool
    field_base, field_count, field_name = rows.field_base, rows.field_count, fields.name
    scratch_name, seen = scratch.name, scratch.seen
    room_samples = sample_value.shape[0]
    room_lines = line_row.shape[0]
    lines, samples, strings = out.counts[0], out.counts[1], out.counts[2]
    record = first
    while record < last:
        p = value_start[record]
        end = value_end[record]
        size = end - p
        if size <= 0 or size > max_bytes:
            break
        # every sample takes at least four bytes (`a=1,`), every line six
        if samples + size // 4 + 1 > room_samples or lines + size // 6 + 1 > room_lines:
            break
        line, at, left_out = lines, samples, strings
        json = data[p] == 123
        if (json and text_format == FORMAT_INFLUX) or (not json and text_format == FORMAT_JSON):
            break
        batch = False
        if json and _word(data, p, end, _METRICS, 8):
            if p + 12 > end or data[p + 8] != 115 or data[p + 9] != 34 or data[p + 10] != 58 or data[p + 11] != 91:
                break
            batch = True
            p += 12
        good = p < end
        while p < end:
            serial += 1
            if json:
                p, row, time_ms, at, more = _json_metric(
                    data,
                    p,
                    end,
                    keys,
                    names,
                    field_base,
                    field_count,
                    field_name,
                    sample_column,
                    sample_value,
                    scratch_name,
                    seen,
                    serial,
                    json_unit,
                    at,
                )
            else:
                p, row, time_ms, at, more = _influx_line(
                    data,
                    p,
                    end,
                    keys,
                    names,
                    name_start,
                    name_length,
                    name_salt,
                    name_pool,
                    field_base,
                    field_count,
                    field_name,
                    sample_column,
                    sample_value,
                    seen,
                    serial,
                    influx_unit,
                    record_time_ms[record],
                    at,
                )
            if p < 0 or time_ms > latest_ms or (time_ms < 0 and time_ms == record_time_ms[record]):
                good = False
                break
            line_row[line] = row
            line_time_ms[line] = time_ms
            line_record[line] = record
            line += 1
            line_sample[line] = at
            left_out += more
            if json:
                if batch:
                    if p < end and data[p] == 44:
                        p += 1
                        good = p < end
                        continue
                    if p + 1 < end and data[p] == 93 and data[p + 1] == 125:
                        p += 2
                    else:
                        good = False
                        break
                if p < end and data[p] == 10:
                    p += 1
                good = p == end
                break
        if not good:
            break
        lines, samples, strings = line, at, left_out
        record += 1
    out.counts[0], out.counts[1], out.counts[2] = lines, samples, strings
    return record, serial

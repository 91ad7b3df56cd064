"""Records as agents send them and nearly as they send them, made at random."""

import random

from tests.support.core.parsing import BASE_MS

_NUMBERS = (
    "0", "-0", "0i", "-0i", "0u", "1", "1.", ".5", "-.5", "-", "00", "01i", "1e5", "1E+05", "1e-7", "1e", "1e400",
    "-1e400", "1e-400", "4.9e-324", "2.2250738585072011e-308", "0.1", "12.340", "99.94999999999999", "9007199254740993",
    "9007199254740993i", "9223372036854775807i", "9223372036854775808i", "-9223372036854775808i",
    "18446744073709551615u", "18446744073709551616u", "-1u", "1234567890123456789", "12345678901234567890",
    "0.1234567890123456789", "1.7976931348623157e308", "1.7976931348623159e308", "123456789.123456789e-30", "1e00005",
    "1e000005", "1i2", "1.0i", "+1", "0x1p3", "1_000", "NaN", "nan", "inf", "-Inf", "3.", "8.e3", "1234567i",
    "12345678", "123456789i", "1.2345678", "12345678.12345678",
)  # fmt: skip
_WORDS = ("t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE", "tRUE", "truex", "fals", "null")
_STRINGS = ('"text"', '""', '"a b,c=d"', '"a\\"b"', '"a\\\\"', '"a\\nb"', '"é"', '"two\nlines"', '"open', '"{}[]"')
_MEASUREMENTS = ("cpu", "disk", "net", "a_longer_measurement", "m", "mé", "my\\ m", "my\\,m", "win\\=m", "c\\pu")
_TAGS = (
    "host=a", "host=b", "host=a\\ b", "device=sda", "nsId=ns1", "mcisId=m1", "vmId=vm1", "path=/", "path=/var/lib",
    "empty=", "x\\=y=z", "é=ü",
)  # fmt: skip
_FIELDS = ("v", "usage_user", "usage_system", "bytes_recv", "a_rather_long_field_name", "f\\ x", "é", "x.y-z", "8", "a")
_STAMPS = (
    "", " 1700000000000000000", " 1700000000123456789", " 1700000000", " 1700000000000", " 1700000000000000", " 0",
    " -1", " 9223372036854775807", " 9223372036854775808", " -9223372036854775808", " 99999999999999999999", " 1.5",
    " 00017", " 1700000000 ", " 17e8", " x", " 9223372036", " 9223372037", "  1700000000", " 1700001000000",
    " 1700009999000",
)  # fmt: skip


def random_value(r: random.Random) -> bytes:
    """Return a record of one format or the other; most are sound, most of what is odd is in them somewhere."""
    odd = r.random() < 0.3
    if r.random() < 0.5:
        lines = [_line(r, odd=odd) for _ in range(r.choice((1, 1, 1, 2, 5)))]
        ending = r.choice(("\n", "\n", "\n", "\r\n", "\n\n", "\n# comment\n", "\n \n")) if odd else "\n"
        return (ending.join(lines) + r.choice(("", "\n"))).encode()
    metrics = [_metric(r, odd=odd) for _ in range(r.choice((1, 1, 1, 2, 5)))]
    if len(metrics) == 1 and r.random() < 0.6:
        return (metrics[0] + r.choice(("", "\n"))).encode()
    return ('{"metrics":[' + ",".join(metrics) + "]}" + r.choice(("", "\n"))).encode()


def damaged(r: random.Random, value: bytes) -> bytes:
    """Return the value with a few bytes changed, put in or taken out."""
    text = bytearray(value)
    for _ in range(r.choice((1, 1, 2, 5))):
        place = r.randrange(len(text) + 1)
        byte = r.choice((*b' ,="\\\n\r\t{}[]:.-+eiu0159tfTF#', 0, 0x7F, 0x80, 0xC3, 0xFF, r.randrange(256)))
        what = r.random()
        if what < 0.4:
            text.insert(place, byte)
        elif what < 0.7 and place < len(text):
            text[place] = byte
        elif place < len(text):
            del text[place]
    return bytes(text)


def _line(r: random.Random, *, odd: bool) -> str:
    tags = r.sample(_TAGS[:7], r.choice((0, 1, 2, 4))) if not odd else r.sample(_TAGS, r.choice((0, 1, 2, 4)))
    measurement = r.choice(_MEASUREMENTS if odd else _MEASUREMENTS[:5])
    names = (
        [r.choice(_FIELDS) for _ in range(r.choice((1, 2, 3, 8)))] if odd else r.sample(_FIELDS[:5], r.choice((1, 3)))
    )
    fields = ",".join(f"{name}={_value(r, odd=odd)}" for name in names)
    space = r.choice((" ", " ", "  ", "\t")) if odd else " "
    stamp = r.choice(_STAMPS) if odd else f" {(BASE_MS + r.randrange(10**6)) * 1_000_000}"
    return ",".join([measurement, *tags]) + space + fields + stamp


def _metric(r: random.Random, *, odd: bool) -> str:
    names = [r.choice(_FIELDS) for _ in range(r.choice((1, 2, 8)))] if odd else r.sample(_FIELDS[:5], r.choice((1, 3)))
    fields = ",".join(f'"{name}":{_json_value(r, odd=odd)}' for name in names)
    tags = ",".join('"{}":"{}"'.format(*tag.split("=", 1)) for tag in r.sample(_TAGS[:7], r.choice((0, 1, 3))))
    name = r.choice(_MEASUREMENTS if odd else _MEASUREMENTS[:5])
    stamp = r.choice(_STAMPS).strip() if odd else str((BASE_MS + r.randrange(10**6)) // 1000)
    members = [f'"fields":{{{fields}}}', f'"name":"{name}"', f'"tags":{{{tags}}}', f'"timestamp":{stamp}']
    if odd and r.random() < 0.3:
        r.shuffle(members)
    if odd and r.random() < 0.2:
        del members[r.randrange(4)]
    separator = r.choice((",", ",", ", ", " ,")) if odd else ","
    return "{" + separator.join(members) + "}"


def _value(r: random.Random, *, odd: bool) -> str:
    if odd:
        kind = r.random()
        return r.choice(_NUMBERS if kind < 0.6 else _WORDS if kind < 0.8 else _STRINGS)
    kind = r.random()
    if kind < 0.3:
        return f"{r.randrange(-(10 ** r.randrange(1, 18)), 10 ** r.randrange(1, 18))}i"
    if kind < 0.8:
        return repr(round(r.uniform(-1000, 1000), r.randrange(17)))
    return r.choice(("true", "false", "1", "0", '"text"'))


def _json_value(r: random.Random, *, odd: bool) -> str:
    if odd:
        kind = r.random()
        choices = _NUMBERS if kind < 0.6 else _WORDS if kind < 0.7 else _STRINGS if kind < 0.9 else ("{}", "[1]", "{,}")
        return r.choice(choices).removesuffix("i")
    return r.choice((repr(round(r.uniform(-1000, 1000), r.randrange(17))), str(r.randrange(-5, 10**12)), "true", '"x"'))

"""Names in line protocol as it is written: measurements, tags and field keys.

Line breaks and tabs cannot stand in names: they become the two characters backslash and letter. A backslash at the end
of a measurement, a tag key or a tag value would escape the separator behind it and is left out. Both as Telegraf's own
serializer does.

In a measurement or field key, a backslash before a comma, a space, an equals sign or a quote is refused: InfluxDB 2.7
takes such a measurement and never finds it again, and takes the field under another name or not at all. In tags it is
right.
"""

import re
from functools import lru_cache

_CACHED_NAMES = 65_536
_LINE_BREAKS = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\f": r"\f", "\v": r"\v"}
_IN_MEASUREMENT = re.compile(r"[, \n\r\t\f\v]")
_UNREADABLE = re.compile(r'\\[,= "]')
_IN_KEY_OR_TAG = re.compile(r"[,= \n\r\t\f\v]")


@lru_cache(maxsize=_CACHED_NAMES)
def escaped_measurement(name: str) -> str:
    r"""Return a measurement's name, escaped.

    Raises
    ------
    ValueError
        If nothing is left of it, it starts with ``#`` and would read as a comment, or has a backslash where InfluxDB
        cannot read it back.

    Examples
    --------
    >>> print(escaped_measurement("a b,c=d"))
    a\ b\,c=d
    """
    escaped = _IN_MEASUREMENT.sub(_escape, name.rstrip("\\"))
    if not escaped or escaped.startswith("#") or _UNREADABLE.search(name):
        raise ValueError(f"the measurement {name!r} cannot stand in line protocol")
    return escaped


@lru_cache(maxsize=_CACHED_NAMES)
def escaped_tag(key: str, value: str) -> str:
    r"""Return ``,key=value``, escaped; nothing if the key or the value is empty, for InfluxDB refuses such a tag.

    Examples
    --------
    >>> print("cpu" + escaped_tag("host", "a b") + escaped_tag("dc", ""))
    cpu,host=a\ b
    """
    escaped_key = _IN_KEY_OR_TAG.sub(_escape, key.rstrip("\\"))
    escaped_value = _IN_KEY_OR_TAG.sub(_escape, value.rstrip("\\"))
    return f",{escaped_key}={escaped_value}" if escaped_key and escaped_value else ""


@lru_cache(maxsize=_CACHED_NAMES)
def escaped_field_key(name: str) -> str:
    r"""Return a field's name, escaped.

    Raises
    ------
    ValueError
        If it is empty, or has a backslash where InfluxDB cannot read it back.

    Examples
    --------
    >>> print(escaped_field_key("a=b"))
    a\=b
    """
    if not name:
        raise ValueError("a field has an empty name")
    if _UNREADABLE.search(name):
        raise ValueError(f"the field {name!r} cannot stand in line protocol")
    return _IN_KEY_OR_TAG.sub(_escape, name)


def _escape(found: re.Match[str]) -> str:
    character = found.group()
    return _LINE_BREAKS.get(character) or f"\\{character}"

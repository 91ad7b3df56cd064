"""The constant parts of a message, made once for each host and measurement; the values are filled in by ``%``."""

from collections.abc import Mapping, Sequence

import orjson

FORMATS = ("influx", "json")


def template(message_format: str, measurement: str, tags: Mapping[str, str], fields: Sequence[str]) -> bytes:
    """Return all of a message but its end (`ending`), with a place for the value of each field.

    Parameters
    ----------
    message_format
        ``influx`` or ``json``.
    measurement, tags
        Of plain characters: nothing is escaped.
    fields
        Names; one that ends with ``" i"`` is an integer, the others are floats with two decimals.
    """
    pairs = [(name.removesuffix(" i"), name.endswith(" i")) for name in fields]
    if message_format == "influx":
        series = ",".join([measurement, *(f"{key}={tags[key]}" for key in sorted(tags))])
        values = ",".join(f"{name}=%di" if integer else f"{name}=%.2f" for name, integer in pairs)
        return f"{series} {values} ".encode()
    values = ",".join(f'"{name}":%d' if integer else f'"{name}":%.2f' for name, integer in pairs)
    head = orjson.dumps({"name": measurement, "tags": dict(sorted(tags.items()))}).replace(b"%", b"%%")
    return b'{"fields":{' + values.encode() + b"}," + head[1:-1] + b',"timestamp":'


def ending(message_format: str, time_ms: int) -> bytes:
    """Return the time and the end of a message: nanoseconds in line protocol, whole seconds in JSON."""
    if message_format == "influx":
        return b"%d000000\n" % time_ms
    return b"%d}" % (time_ms // 1000)

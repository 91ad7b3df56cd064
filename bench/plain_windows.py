"""The job in plain Python: MIN, MAX, AVG and LAST of each field, for each series and window of one minute.

It reads the messages of ``bench.messages`` and no others (no escapes, every value a float, the same fields in
every message of a series), keeps a watermark for each partition, and neither takes late data nor survives a
crash. Numbers are read when a window closes, all at once: the quickest way found. That makes it a fair lower
bound for a program without compiled code.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from bench.messages import GRACE_S, WINDOW_S

WINDOW_MS = WINDOW_S * 1000
GRACE_MS = GRACE_S * 1000

# The fields of one message: in line protocol still as they came, in JSON with their numbers.
Fields = str | dict[str, float]
Columns = dict[str, Sequence[float]]


@dataclass(slots=True)
class _Window:
    times_ms: list[int] = field(default_factory=list)
    rows: list[Fields] = field(default_factory=list)


class PlainWindows:
    """The open windows of one partition, and its watermark."""

    __slots__ = ("_next_close_ms", "_open", "_watermark_ms")

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], _Window] = {}
        self._watermark_ms = 0
        self._next_close_ms = 0

    def add(self, value: bytes) -> list[bytes]:
        """Add one message, and return the windows that its time closes, each as JSON."""
        series, time_ms, fields = _from_json(value) if value[0] == b"{"[0] else _from_influx(value)
        start_ms = time_ms - time_ms % WINDOW_MS
        window = self._open.get((series, start_ms))
        if window is None:
            window = self._open[series, start_ms] = _Window()
        window.times_ms.append(time_ms)
        window.rows.append(fields)
        watermark_ms = time_ms - GRACE_MS
        if watermark_ms <= self._watermark_ms:
            return []
        self._watermark_ms = watermark_ms
        return self._close() if watermark_ms >= self._next_close_ms else []

    def _close(self) -> list[bytes]:
        closed = [key for key in self._open if key[1] + WINDOW_MS <= self._watermark_ms]
        records = [_record(*key, self._open.pop(key)) for key in closed]
        earliest_ms = min((start_ms for _, start_ms in self._open), default=self._watermark_ms)
        self._next_close_ms = earliest_ms + WINDOW_MS
        return records


def _from_influx(value: bytes) -> tuple[str, int, Fields]:
    series, pairs, time_ns = value.decode().split(" ")
    return series, int(time_ns) // 1_000_000, pairs


def _from_json(value: bytes) -> tuple[str, int, Fields]:
    metric = orjson.loads(value)
    tags = ",".join([f"{key}={text}" for key, text in metric["tags"].items()])
    return f"{metric['name']},{tags}", metric["timestamp"] * 1000, metric["fields"]


def _columns(rows: list[Fields]) -> Columns:
    texts = [row for row in rows if isinstance(row, str)]
    if texts:
        flat = ",".join(texts).replace("=", ",").split(",")
        numbers = list(map(float, flat[1::2]))
        width = len(numbers) // len(texts)
        names = flat[: 2 * width : 2]
        if flat[::2] == names * len(texts):
            return {name: numbers[number::width] for number, name in enumerate(names)}
    mappings = [row if isinstance(row, dict) else _mapping(row) for row in rows]
    return {name: [row[name] for row in mappings] for name in mappings[0]}


def _mapping(pairs: str) -> dict[str, float]:
    flat = pairs.replace("=", ",").split(",")
    return dict(zip(flat[::2], map(float, flat[1::2]), strict=True))


def _record(series: str, start_ms: int, window: _Window) -> bytes:
    measurement, *tags = series.split(",")
    times_ms = window.times_ms
    newest = times_ms.index(max(times_ms))
    fields = {
        name: {"min": min(column), "max": max(column), "avg": sum(column) / len(column), "last": column[newest]}
        for name, column in _columns(window.rows).items()
    }
    return orjson.dumps(
        {
            "measurement": measurement,
            "tags": dict([tag.split("=") for tag in tags]),
            "start_ms": start_ms,
            "end_ms": start_ms + WINDOW_MS,
            "fields": fields,
        }
    )

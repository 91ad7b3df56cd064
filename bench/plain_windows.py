"""The job in plain Python: MIN, MAX, AVG and LAST of each field, for each series and window of one minute.

It reads the messages of ``bench.messages`` and no others (no escapes, every value a float, the same fields in
every message of a series), keeps a watermark for each partition, and neither takes late data nor survives a
crash. That is what makes it a fair lower bound for a program without compiled code.
"""

from dataclasses import dataclass, field

import orjson

from bench.messages import GRACE_S, WINDOW_S

WINDOW_MS = WINDOW_S * 1000
GRACE_MS = GRACE_S * 1000


@dataclass(slots=True)
class _Window:
    names: list[str]
    times_ms: list[int] = field(default_factory=list)
    rows: list[list[float]] = field(default_factory=list)


class PlainWindows:
    """The open windows of every partition that one process reads."""

    def __init__(self) -> None:
        self._open: dict[int, dict[tuple[str, int], _Window]] = {}
        self._watermark_ms: dict[int, int] = {}
        self._next_close_ms: dict[int, int] = {}

    def add(self, partition: int, value: bytes) -> list[bytes]:
        """Add one message, and return the windows that its time closes, each as JSON."""
        series, time_ms, names, numbers = _from_json(value) if value[0] == b"{"[0] else _from_influx(value)
        start_ms = time_ms - time_ms % WINDOW_MS
        windows = self._open.setdefault(partition, {})
        window = windows.get((series, start_ms))
        if window is None:
            window = windows[series, start_ms] = _Window(names)
        elif window.names != names:
            by_name = dict(zip(names, numbers, strict=True))
            numbers = [by_name[name] for name in window.names]
        window.times_ms.append(time_ms)
        window.rows.append(numbers)
        watermark_ms = time_ms - GRACE_MS
        if watermark_ms <= self._watermark_ms.get(partition, 0):
            return []
        self._watermark_ms[partition] = watermark_ms
        if watermark_ms < self._next_close_ms.get(partition, 0):
            return []
        return self._close(partition, watermark_ms)

    def _close(self, partition: int, watermark_ms: int) -> list[bytes]:
        windows = self._open[partition]
        closed = [key for key in windows if key[1] + WINDOW_MS <= watermark_ms]
        records = [_record(*key, windows.pop(key)) for key in closed]
        earliest_ms = min((start_ms for _, start_ms in windows), default=watermark_ms)
        self._next_close_ms[partition] = earliest_ms + WINDOW_MS
        return records


def _from_influx(value: bytes) -> tuple[str, int, list[str], list[float]]:
    series, pairs, time_ns = value.decode().split(" ")
    flat = pairs.replace("=", ",").split(",")
    return series, int(time_ns) // 1_000_000, flat[::2], list(map(float, flat[1::2]))


def _from_json(value: bytes) -> tuple[str, int, list[str], list[float]]:
    metric = orjson.loads(value)
    tags = ",".join([f"{key}={text}" for key, text in metric["tags"].items()])
    fields = metric["fields"]
    return f"{metric['name']},{tags}", metric["timestamp"] * 1000, list(fields), list(fields.values())


def _record(series: str, start_ms: int, window: _Window) -> bytes:
    measurement, *tags = series.split(",")
    times_ms = window.times_ms
    newest = max(range(len(times_ms)), key=times_ms.__getitem__)
    fields = {
        name: {"min": min(column), "max": max(column), "avg": sum(column) / len(column), "last": column[newest]}
        for name, column in zip(window.names, zip(*window.rows, strict=True), strict=True)
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

"""Records of metrics.agg for the tests of stores."""

from collections.abc import Mapping
from typing import Any

import orjson

MINUTE_MS = 60_000
BASE_MS = 1_780_000_020_000  # a whole minute


def functions(average: float, *, count: int = 6, **more: float) -> dict[str, Any]:
    """Return a field's functions around an average."""
    return {
        "min": average - 1.0,
        "max": average + 1.0,
        "avg": average,
        "last": average + 0.5,
        "first": average - 0.5,
        "sum": average * count,
        "count": count,
        **more,
    }


def window(
    fields: Mapping[str, Any],
    *,
    measurement: str = "cpu",
    tags: Mapping[str, str] | None = None,
    start_ms: int = BASE_MS,
    revision: int = 1,
) -> bytes:
    """Return one record, as the aggregate stage writes it."""
    return orjson.dumps(
        {
            "measurement": measurement,
            "tags": {"host": "a"} if tags is None else dict(tags),
            "start_ms": start_ms,
            "end_ms": start_ms + MINUTE_MS,
            "revision": revision,
            "fields": dict(fields),
            "partition": 0,
            "first_offset": 0,
            "last_offset": revision,
            "lag_ms": 0,
        }
    )


def batch(n: int) -> list[bytes]:
    """Return the windows of a hundred hosts in minute ``n``."""
    start_ms = BASE_MS + n * MINUTE_MS
    return [window({"x": functions(float(n))}, tags={"host": f"h{i}"}, start_ms=start_ms) for i in range(100)]

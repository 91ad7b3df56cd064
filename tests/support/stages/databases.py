"""What a store holds, beside what it should hold of the records of metrics.agg."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.stores.embedded.windows import EmbeddedStore
from tests.support.core.reference_windows import Record
from tests.support.servers.influxdb import InfluxDB
from tests.support.stages.streams import END

FUNCTIONS = ("min", "max", "avg", "last", "count", "increase", "rate")
"""What a store keeps of each field."""

Point = tuple[str, tuple[tuple[str, str], ...], int, str]
"""Measurement, tags, start in milliseconds, field with its function."""
LONG_AGO_MS, LONG_AHEAD_MS = 0, 4_000_000_000_000


def influxdb_store(
    name: str, server: InfluxDB, bucket: str, *regions: str, url: str | None = None, **options: Any
) -> dict[str, Any]:
    """Return a store's section of the settings; ``url`` is that of a proxy before the server."""
    place = {"url": url or server.url, "org": server.org, "bucket": bucket, "token": server.token}
    return {"name": name, "kind": "influxdb", "regions": list(regions), **place, **options}


def points_of(records: Iterable[Record]) -> dict[Point, float]:
    """Return what a store should hold: of each window the greatest revision; without the lines that end a stream."""
    newest: dict[Any, Record] = {}
    for record in records:
        window = (record["measurement"], tuple(sorted(record["tags"].items())), record["start_ms"])
        if record["measurement"] != END and (window not in newest or newest[window]["revision"] < record["revision"]):
            newest[window] = record
    return {
        (*window, f"{name}_{function}"): float(functions[function])
        for window, record in newest.items()
        for name, functions in record["fields"].items()
        for function in FUNCTIONS
        if function in functions
    }


def points_in_influxdb(server: InfluxDB, bucket: str, *, without: str = END) -> dict[Point, float]:
    """Read a bucket through the query API, all of it but one measurement."""
    rows = server.query(
        f'from(bucket: "{bucket}") |> range(start: 1970-01-01T00:00:00Z, stop: 2090-01-01T00:00:00Z)'
        f' |> filter(fn: (r) => r._measurement != "{without}" and r._measurement != "{END}")'
        " |> map(fn: (r) => ({r with ms: int(v: r._time) / 1000000}))"
    )
    points = {}
    for row in rows:
        own = {"", "result", "table", "ms"}
        tags = {name: value for name, value in row.items() if name not in own and not name.startswith("_") and value}
        place = (row["_measurement"], tuple(sorted(tags.items())), int(row["ms"]), row["_field"])
        assert place not in points, f"{place} is there twice"
        points[place] = float(row["_value"])
    return points


def points_in_embedded(path: Path, records: Iterable[Record]) -> dict[Point, float]:
    """Read an embedded store through its queries: every field of the records, each of its functions."""
    fields = {(record["measurement"], name) for record in records for name in record["fields"]}
    store = EmbeddedStore(path)
    points = {}
    for measurement, name in fields:
        for function in FUNCTIONS:
            for point in store.query_range(
                measurement, name, function, start_ms=LONG_AGO_MS, end_ms=LONG_AHEAD_MS, max_points=100_000
            ):
                place = (measurement, tuple(sorted(point.tags.items())), point.start_ms, f"{name}_{function}")
                points[place] = point.value
    store.close()
    return {place: value for place, value in points.items() if place[0] != END}


def assert_same_points(got: Mapping[Point, float], want: Mapping[Point, float]) -> None:
    """Compare values exactly, in the order of time; say which is the first that differs."""
    assert want
    for place in sorted({*got, *want}, key=lambda place: (place[2], place)):
        assert got.get(place) == want.get(place), place

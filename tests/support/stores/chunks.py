"""Records of metrics.downsampled, anomalies and alerts for the tests of stores, and what InfluxDB has of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from schemas.alert import AlertEvent
from schemas.anomaly import Anomaly
from schemas.downsampled import DownsampledChunk
from tests.support.servers.influxdb import InfluxDB

HOUR_MS = 3_600_000
START_MS = 1_780_002_000_000  # a whole hour
SECOND_MS = 1000

Kept = tuple[int, float, str]


def chunk(
    points: Sequence[Kept],
    *,
    start_ms: int = START_MS,
    end_ms: int | None = None,
    revision: int = 1,
    tags: Mapping[str, str] | None = None,
    measurement: str = "cpu",
    field: str = "usage",
    **more: Any,
) -> bytes:
    """Return one record; each point is given by its milliseconds since ``start_ms``, its value and ``l`` or ``s``."""
    kept = [(start_ms + after_ms, value, interp) for after_ms, value, interp in points]
    values = [value for _, value, _ in kept]
    record = {
        "measurement": measurement,
        "field": field,
        "tags": {"host": "a"} if tags is None else dict(tags),
        "partition": 0,
        "start_ms": start_ms,
        "end_ms": start_ms + HOUR_MS if end_ms is None else end_ms,
        "first_ms": kept[0][0],
        "last_ms": kept[-1][0],
        "gap": False,
        "kind": "auto",
        "series_class": "smooth",
        "encoder": "lines",
        "n_raw": 360,
        "n_kept": len(kept),
        "sigma": 0.123456,
        "max_error": 0.5,
        "min": min(values),
        "max": max(values),
        "sum": 360 * sum(values) / len(values),
        "count": 360,
        "first_offset": 0,
        "last_offset": revision,
        "revision": revision,
        "points": kept,
        **more,
    }
    return DownsampledChunk.model_validate_json(orjson.dumps(record)).to_json()


def anomaly(*, host: str = "a", start_ms: int = START_MS, score: float = 5.0, offset: int = 7) -> bytes:
    """Return one record of a series."""
    return Anomaly(
        kind="anomaly",
        measurement="cpu",
        field="usage",
        function="avg",
        tags={"host": host, "kind": "vm"},
        start_ms=start_ms,
        end_ms=start_ms + 60_000,
        value=98.5,
        score=score,
        level="warn",
        reason="SPIKE",
        text='usage is 98.5, "usually" 10',
        expected_low=8.0,
        expected_high=12.0,
        partition=0,
        offset=offset,
    ).to_json()


def alert(*, host: str = "a", time_ms: int = START_MS, sequence: int = 1) -> bytes:
    """Return one event of an alert."""
    return AlertEvent(
        id=f"{host}-{sequence}",
        alert_id=host,
        sequence=sequence,
        policy="cpu-high",
        policy_hash="1",
        measurement="cpu",
        field="usage",
        tags={"host": host},
        resource=host,
        state="FIRING",
        previous_state="OK",
        level="critical",
        previous_level=None,
        reason="FIRST_BREACH",
        notify=True,
        time_ms=time_ms,
        value=98.5,
        threshold=90.0,
        repeat=0,
        evidence=None,
        text="usage is 98.5",
    ).to_json()


def rows_of(server: InfluxDB, bucket: str) -> list[dict[str, str]]:
    """Return all that a bucket has: a row for each series and time, its fields beside each other."""
    return server.query(
        f'from(bucket: "{bucket}") |> range(start: 1970-01-01T00:00:00Z, stop: 2090-01-01T00:00:00Z)'
        " |> map(fn: (r) => ({r with _value: string(v: r._value), ms: int(v: r._time) / 1000000}))"
        ' |> drop(columns: ["_start", "_stop", "_time"])'
        ' |> pivot(rowKey: ["ms"], columnKey: ["_field"], valueColumn: "_value")'
        ' |> group() |> sort(columns: ["ms"])'
    )


def points_in(server: InfluxDB, bucket: str) -> list[Kept]:
    """Return the kept points of cpu that a bucket has, by time; each as its milliseconds since `START_MS`."""
    return [
        (int(row["ms"]) - START_MS, float(row["value"]), "s" if row.get("step") == "true" else "l")
        for row in rows_of(server, bucket)
        if row.get("value") and row["_measurement"] == "cpu"
    ]

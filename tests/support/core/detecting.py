"""Windows of metrics.agg for tests of detection, and what a detector makes of them."""

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import orjson

from pipeline.core.compiled import Array
from pipeline.core.detection.detector import DetectionSettings, PartitionDetector
from pipeline.core.detection.rules import DetectionRules, Zones, detection_rule
from schemas.anomaly import Anomaly
from schemas.catalogue import load_catalogue

START_MS = 1_780_000_020_000
MINUTE_MS = 60_000


def rules_of(*documents: Mapping[str, Any]) -> DetectionRules:
    return DetectionRules(
        load_catalogue(), Zones(), [detection_rule({"title": "t", **document}) for document in documents]
    )


def detector_of(rules: DetectionRules | None = None, **settings: Any) -> PartitionDetector:
    return PartitionDetector(0, rules or rules_of(), DetectionSettings(**settings), ZoneInfo)


def window(
    number: int,
    fields: Mapping[str, float],
    *,
    measurement: str = "cpu",
    host: str = "a",
    function: str = "avg",
    every_ms: int = MINUTE_MS,
    **tags: str,
) -> bytes:
    """Return the record of a window as the aggregate stage writes it; of each field one function beside the others."""
    start_ms = START_MS + number * every_ms
    return orjson.dumps(
        {
            "measurement": measurement,
            "tags": dict(sorted({"host": host, **tags}.items())),
            "start_ms": start_ms,
            "end_ms": start_ms + every_ms,
            "revision": number,
            "fields": {
                name: dict.fromkeys(("min", "max", "avg", "last", "first", "sum"), value)
                | {"count": 1}
                | {function: value}
                for name, value in fields.items()
            },
            "partition": 0,
            "first_offset": number,
            "last_offset": number,
            "lag_ms": 0,
        }
    )


def noise(seed: int, count: int) -> Array:
    return 40 + np.random.default_rng(seed).normal(0, 2, count)


def anomalies(values: Iterable[bytes]) -> list[Anomaly]:
    """Return records as models: they must be what the schema says."""
    return [Anomaly.model_validate_json(value) for value in values]


def scored(detector: PartitionDetector, values: Sequence[bytes | None], *, batch: int = 10_000) -> list[bytes]:
    """Return what a detector writes of records with offsets from 0 on, cut into batches."""
    records = list(enumerate(values))
    out: list[bytes] = []
    for first in range(0, len(records), batch):
        out += detector.add(records[first : first + batch]).values
    return out


def stream(windows: int = 900, *, prefix: str = "") -> list[bytes | None]:
    """Return windows of three hosts and two measurements, with spikes, repetitions, gaps, late and bad records."""
    r = random.Random(7)
    values: list[bytes | None] = []
    levels = {host: noise(number, windows) for number, host in enumerate("abc")}
    for number in range(windows):
        for host, level in levels.items():
            if host == "c" and 300 < number < 420:
                continue
            spike = 50.0 if host == "b" and number in {700, 701, 850} else 0.0
            base = float(level[number])
            cpu = {"usage_active": base + spike, "usage_iowait": base / 9 + spike, "usage_steal": base / 20 + spike}
            values.append(window(number, cpu, host=prefix + host))
            values.append(
                window(number, {"load1": base / 10 + spike, "uptime": number}, measurement="system", host=prefix + host)
            )
            values.append(window(number, {"x": 1}, measurement="unknown", host=prefix + host))
            if r.random() < 0.05:
                values.append(window(number - r.choice([0, 1, 2]), {"usage_active": 99}, host=prefix + host))
        if r.random() < 0.02:
            values.append(r.choice([None, b"{", b"[1]", b'{"measurement":"cpu","tags":{},"start_ms":"x","end_ms":1}']))
    return values

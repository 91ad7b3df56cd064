"""Verdicts as records of ``anomalies``."""

import math

import orjson

from pipeline.core.anomalies.scorer import Level
from pipeline.core.detection.batch import Judged
from pipeline.core.detection.host import Change, HostVerdict
from pipeline.core.detection.series import Host, Series


def series_record(judged: Judged, partition: int) -> bytes:
    """Return the verdict on one value: an anomaly where there is a reason, else a sample of the score."""
    series, window = judged.series, judged.window
    return orjson.dumps(
        {
            "kind": "sample" if judged.reason is None else "anomaly",
            "measurement": series.group.measurement,
            "field": series.field,
            "function": series.watch.function,
            "tags": series.group.tags,
            "start_ms": window.start_ms,
            "end_ms": window.end_ms,
            "value": judged.value,
            "score": judged.score,
            "level": _name(judged.level),
            "reason": judged.reason,
            "expected_low": _known(judged.low),
            "expected_high": _known(judged.high),
            "partition": partition,
            "offset": window.offset,
        }
    )


def host_record(
    host: Host, verdict: HostVerdict[Series], *, start_ms: int, end_ms: int, partition: int, offset: int
) -> bytes:
    """Return what became of a resource's incident.

    Parameters
    ----------
    host, verdict
        Whose incident it is, and what became of it.
    start_ms, end_ms
        Of the windows after which.
    partition, offset
        Of the last of their records.
    """
    return orjson.dumps(
        {
            "kind": "host",
            "measurement": None,
            "field": None,
            "function": None,
            "tags": host.tags,
            "start_ms": start_ms,
            "end_ms": end_ms,
            "value": None,
            "score": verdict.score,
            "level": _name(verdict.level),
            "reason": _reason(verdict, host.series_count, end_ms),
            "expected_low": None,
            "expected_high": None,
            "partition": partition,
            "offset": offset,
            "state": verdict.change.value,
            "incident_start_ms": verdict.begun_ms,
            "rate": verdict.share,
            "series_count": host.series_count,
            "series": [
                {
                    "measurement": series.group.measurement,
                    "field": series.field,
                    "tags": series.group.tags,
                    "score": told.score,
                    "level": _name(told.level),
                    "reason": told.reason,
                }
                for series, told in verdict.most
            ],
        }
    )


def _known(edge: float) -> float | None:
    return edge if math.isfinite(edge) else None


def _name(level: Level) -> str | None:
    return None if level is Level.NORMAL else level.name.lower()


def _reason(verdict: HostVerdict[Series], series_count: int, end_ms: int) -> str:
    """Return an incident in a sentence that names its most anomalous series."""
    if verdict.change is Change.ENDED:
        return f"over after {(end_ms - verdict.begun_ms) // 1000} s"
    named = "; ".join(f"{series.group.measurement} {series.field}: {told.reason}" for series, told in verdict.most[:3])
    return f"{verdict.anomalous} of {series_count} series are anomalous together: {named}"

"""Verdicts as records of ``anomalies``."""

import math

import orjson

from pipeline.core.anomaly import Level
from pipeline.core.detection_series import Host, Series
from pipeline.core.host_anomaly import Change, HostVerdict


def series_record(
    series: Series,
    *,
    start_ms: int,
    end_ms: int,
    value: float,
    score: float,
    level: Level,
    reason: str | None,
    low: float,
    high: float,
    partition: int,
    offset: int,
) -> bytes:
    """Return the verdict on one value: an anomaly where there is a reason, else a sample of the score.

    Parameters
    ----------
    series
        Whose value it is.
    start_ms, end_ms
        Of the window.
    value, score, level, reason, low, high
        What was judged, and how; a band that is not finite is not known.
    partition, offset
        Of the window's record.
    """
    return orjson.dumps(
        {
            "kind": "sample" if reason is None else "anomaly",
            "measurement": series.group.measurement,
            "field": series.field,
            "function": series.watch.function,
            "tags": series.group.tags,
            "start_ms": start_ms,
            "end_ms": end_ms,
            "value": value,
            "score": score,
            "level": _name(level),
            "reason": reason,
            "expected_low": low if math.isfinite(low) else None,
            "expected_high": high if math.isfinite(high) else None,
            "partition": partition,
            "offset": offset,
        }
    )


def host_record(
    host: Host, verdict: HostVerdict[Series], *, start_ms: int, end_ms: int, partition: int, offset: int
) -> bytes:
    """Return what became of a resource's incident; parameters as in `series_record`."""
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


def _name(level: Level) -> str | None:
    return None if level is Level.NORMAL else level.name.lower()


def _reason(verdict: HostVerdict[Series], series_count: int, end_ms: int) -> str:
    """Return an incident in a sentence that names its most anomalous series."""
    if verdict.change is Change.ENDED:
        return f"over after {(end_ms - verdict.begun_ms) // 1000} s"
    named = "; ".join(f"{series.group.measurement} {series.field}: {told.reason}" for series, told in verdict.most[:3])
    return f"{verdict.anomalous} of {series_count} series are anomalous together: {named}"

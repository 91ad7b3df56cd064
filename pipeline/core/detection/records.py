"""Scores as records of ``anomalies``."""

import math

import orjson

from pipeline.core.anomalies.scorer import Reason
from pipeline.core.detection.batch import Scored
from pipeline.core.detection.host import IncidentChange, IncidentUpdate
from pipeline.core.detection.series import ScoredHost, WatchedSeries
from schemas.anomaly import AnomalyReason
from schemas.records import SCHEMA_VERSION


def series_record(scored: Scored, partition: int) -> bytes:
    """Return the record of one value's score: an anomaly where there is a reason, else a sample of the score."""
    series, window = scored.series, scored.window
    return orjson.dumps(
        {
            "schema_version": SCHEMA_VERSION,
            "kind": "sample" if scored.reason is None else "anomaly",
            "measurement": series.group.measurement,
            "field": series.field,
            "function": series.watch.function,
            "tags": series.group.tags,
            "start_ms": window.start_ms,
            "end_ms": window.end_ms,
            "value": scored.value,
            "score": scored.score,
            "level": scored.level.level,
            "reason": None if scored.reason is None else reason_of(scored.reason),
            "text": None if scored.reason is None else scored.reason.text,
            "expected_low": _known(scored.low),
            "expected_high": _known(scored.high),
            "partition": partition,
            "offset": window.offset,
        }
    )


def host_record(
    host: ScoredHost, update: IncidentUpdate[WatchedSeries], *, start_ms: int, end_ms: int, partition: int, offset: int
) -> bytes:
    """Return what became of a resource's incident.

    Parameters
    ----------
    host, update
        Whose incident it is, and what became of it.
    start_ms, end_ms
        Of the windows after which.
    partition, offset
        Of the last of their records.
    """
    is_over = update.change is IncidentChange.ENDED
    return orjson.dumps(
        {
            "schema_version": SCHEMA_VERSION,
            "kind": "host",
            "measurement": None,
            "field": None,
            "function": None,
            "tags": host.tags,
            "start_ms": start_ms,
            "end_ms": end_ms,
            "value": None,
            "score": update.score,
            "level": update.level.level,
            "reason": AnomalyReason.INCIDENT_OVER if is_over else AnomalyReason.MANY_SERIES,
            "text": _text(update, host.series_count, end_ms),
            "expected_low": None,
            "expected_high": None,
            "partition": partition,
            "offset": offset,
            "state": update.change.value,
            "incident_start_ms": update.begun_ms,
            "rate": update.share,
            "series_count": host.series_count,
            "series": [
                {
                    "measurement": series.group.measurement,
                    "field": series.field,
                    "tags": series.group.tags,
                    "score": reported.score,
                    "level": reported.level.level,
                    "reason": reason_of(reported.reason),
                    "text": reported.reason.text,
                }
                for series, reported in update.most
            ],
        }
    )


def reason_of(reason: Reason) -> AnomalyReason:
    """Return a scorer's reason as records have it.

    Examples
    --------
    >>> reason_of(Reason.LEVEL_SHIFT).value
    'LEVEL_SHIFT'
    """
    return AnomalyReason[reason.name]


def _known(edge: float) -> float | None:
    return edge if math.isfinite(edge) else None


def _text(update: IncidentUpdate[WatchedSeries], series_count: int, end_ms: int) -> str:
    """Return an incident in a sentence that names its most anomalous series."""
    if update.change is IncidentChange.ENDED:
        return f"over after {(end_ms - update.begun_ms) // 1000} s"
    named = "; ".join(
        f"{series.group.measurement} {series.field}: {reported.reason.text}" for series, reported in update.most[:3]
    )
    return f"{update.anomalous} of {series_count} series are anomalous together: {named}"

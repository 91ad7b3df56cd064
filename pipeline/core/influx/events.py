"""Line protocol for anomalies and alerts."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from pipeline.core.influx.escaping import escaped_measurement, escaped_tag
from pipeline.core.influx.history import FIELD_TAG
from pipeline.core.influx.values import number_text, renamed_tags, string_text
from pipeline.core.records.typed_records import read_record
from schemas.alert import AlertEvent
from schemas.anomaly import Anomaly

ANOMALIES, ALERTS = "cinnamon_anomalies", "cinnamon_alerts"
"""The measurements that they are written to."""

_RESERVED = frozenset({FIELD_TAG, "measurement", "function", "kind", "state", "policy", "reason"})


class EventLine(NamedTuple):
    """An anomaly or alert as it is written.

    Attributes
    ----------
    identity
        What it overwrites: its line without the fields.
    revision
        Of two of one identity the greater is right.
    time_ms
        When it was.
    text
        Its line, the time in milliseconds.
    """

    identity: bytes
    revision: int
    time_ms: int
    text: bytes


def encode_anomaly(record: bytes) -> EventLine:
    """Encode a record of ``anomalies``.

    Returns
    -------
    EventLine
        Tags: those of the series, and ``measurement``, ``metric`` (its field), ``function`` and ``kind``; of a host
        also ``state``. Fields: ``score``, and ``level``, ``reason``, ``text``, ``value``, ``expected_low`` and
        ``expected_high`` where there are any; of a host ``rate``, ``series_count``, ``incident_start_ms`` and
        ``series`` as JSON.

    Raises
    ------
    ValueError
        If it is no such record.
    """
    anomaly = read_record(Anomaly, record, "anomalies")
    tags = {
        "measurement": anomaly.measurement,
        FIELD_TAG: anomaly.field,
        "function": anomaly.function,
        "kind": anomaly.kind,
        "state": anomaly.state,
    }
    fields = anomaly.model_dump(
        include={
            "score",
            "level",
            "reason",
            "text",
            "value",
            "expected_low",
            "expected_high",
            "end_ms",
            "rate",
            "series_count",
            "incident_start_ms",
            "offset",
        }
    )
    if anomaly.series is not None:
        fields["series"] = orjson.dumps([each.model_dump() for each in anomaly.series]).decode()
    return _line(ANOMALIES, anomaly.tags, tags, fields, anomaly.start_ms, anomaly.offset)


def encode_alert(record: bytes) -> EventLine:
    """Encode a record of ``alerts``.

    Returns
    -------
    EventLine
        Tags: those of the series, and ``measurement``, ``metric`` (its field), ``policy`` and ``reason``. Fields:
        ``state``, ``previous_state``, ``level`` and ``previous_level`` where there are any, ``value``, ``threshold``,
        ``text``, ``notify``, ``repeat``, ``sequence``, ``alert_id`` and ``id``.

    Raises
    ------
    ValueError
        If it is no such record.
    """
    alert = read_record(AlertEvent, record, "alerts")
    tags = {
        "measurement": alert.measurement,
        FIELD_TAG: alert.field,
        "policy": alert.policy,
        "reason": alert.reason.value,
    }
    fields = alert.model_dump(
        mode="json",
        include={
            "state",
            "previous_state",
            "level",
            "previous_level",
            "value",
            "threshold",
            "text",
            "notify",
            "repeat",
            "sequence",
            "alert_id",
            "id",
        },
    )
    return _line(ALERTS, alert.tags, tags, fields, alert.time_ms, alert.sequence)


ENCODERS: Mapping[str, Callable[[bytes], EventLine]] = {"anomalies": encode_anomaly, "alerts": encode_alert}
"""By topic."""


def _line(
    measurement: str,
    series_tags: Mapping[str, str],
    tags: Mapping[str, str | None],
    fields: Mapping[str, Any],
    time_ms: int,
    revision: int,
) -> EventLine:
    ours = {key: value for key, value in tags.items() if value is not None}
    together = {**renamed_tags(series_tags, _RESERVED), **ours}
    head = escaped_measurement(measurement) + "".join(escaped_tag(key, together[key]) for key in sorted(together))
    written = ",".join(f"{name}={_value(value)}" for name, value in fields.items() if value is not None)
    return EventLine(f"{head} {time_ms}".encode(), revision, time_ms, f"{head} {written} {time_ms}".encode())


def _value(value: Any) -> str:
    """Return a field's value as InfluxDB types it."""
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, str):
        return string_text(value)
    return f"{value}i" if isinstance(value, int) else number_text(value)

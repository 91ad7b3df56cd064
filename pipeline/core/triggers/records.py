"""Events in columns to records of ``alerts``: ids that are the same whenever they are made, and a text for readers."""

import math
from hashlib import sha256
from typing import NamedTuple

import orjson

from pipeline.core.compiled import Array
from pipeline.core.records.identity.resource import NO_RESOURCE, resource_of
from pipeline.core.triggers.matching import TriggerSeries, source_of
from pipeline.core.triggers.state import NEVER, NONE, REASONS, STATES, Events
from schemas.alert import AlertEvent, AlertReason, Evidence
from schemas.durations import duration_text
from schemas.severity import Severity
from schemas.trigger_policy import TriggerPolicy

__all__ = ["EventOrigin", "alert_event", "alert_id", "policy_hash", "series_text"]

_ID_CHARACTERS = 32
_FALLS = frozenset((AlertReason.LEVEL_DOWN, AlertReason.RECOVERED, AlertReason.RECOVERING))


class EventOrigin(NamedTuple):
    """Where the samples of a batch came from."""

    partition: int | None = None
    """Of their topic; None for a file."""
    start_ms: Array | None = None
    """int64[n]: of windows their starts; None for samples."""


def series_text(name: TriggerSeries) -> str:
    """Return what identifies a series, as JSON; tags in any order give the same."""
    tags = dict(sorted(name.tags.items()))
    return orjson.dumps([name.source, name.measurement, name.field, tags]).decode()


def alert_id(policy_id: str, series: str) -> str:
    """Return the id of the alert of a policy and a series' text."""
    return _digest(policy_id, series)


def policy_hash(policy: TriggerPolicy) -> str:
    """Return what distinguishes a policy's versions: equal for equal policies, however they were written."""
    return _digest(policy.model_dump_json())[:16]


def alert_event(
    events: Events, row: int, policy: TriggerPolicy, version: str, name: TriggerSeries, alert: str, origin: EventOrigin
) -> AlertEvent:
    """Return the record of an event.

    Parameters
    ----------
    events, row
        The event.
    policy, version
        Its policy, and the hash of it.
    name, alert
        Its series, and the alert's id.
    origin
        Where the batch came from.
    """
    sequence, time_ms = int(events.sequence[row]), int(events.time_ms[row])
    reason = REASONS[int(events.reason[row])]
    level, previous = int(events.level[row]), int(events.previous_level[row])
    value, threshold = _finite(events.value[row]), _finite(events.threshold[row])
    return AlertEvent(
        id=_digest(alert, str(sequence), str(time_ms), reason),
        alert_id=alert,
        sequence=sequence,
        policy=policy.id,
        policy_hash=version,
        measurement=name.measurement,
        field=name.field,
        tags=dict(name.tags),
        resource=resource_of(name.tags),
        state=STATES[int(events.state[row])],
        previous_state=STATES[int(events.previous_state[row])],
        level=Severity(level).level,
        previous_level=Severity(previous).level,
        reason=reason,
        notify=bool(events.notify[row]),
        time_ms=time_ms,
        value=value,
        threshold=threshold,
        repeat=int(events.repeat[row]),
        evidence=_evidence(events, row, origin),
        text=_text(policy, name, reason, level, value, threshold),
    )


def _evidence(events: Events, row: int, origin: EventOrigin) -> Evidence | None:
    time_ms, sample = int(events.evidence_ms[row]), int(events.sample[row])
    if time_ms == NEVER:
        return None
    known = sample != NONE and origin.start_ms is not None
    start_ms = int(origin.start_ms[sample]) if known and origin.start_ms is not None else None
    return Evidence(
        time_ms=time_ms, start_ms=start_ms, partition=origin.partition, offset=int(events.evidence_offset[row])
    )


def _text(
    policy: TriggerPolicy,
    name: TriggerSeries,
    reason: AlertReason,
    level: int,
    value: float | None,
    threshold: float | None,
) -> str:
    what = f"{policy.title or policy.id}: {name.measurement} {name.field}{_whose(name)}"
    now = Severity(level).level or "OK"
    if reason in {AlertReason.WENT_SILENT, AlertReason.CAME_BACK}:
        silent = duration_text(round(1000 * (value or 0.0)))
        return f"{what} sent nothing for {silent}" if level else f"{what} is back after {silent}"
    if value is None or threshold is None:
        return f"{what}: {now} ({reason.value})"
    function = "" if policy.on == "sample" else f"{source_of(policy).removeprefix('window:')} "
    side = "back beyond" if reason in _FALLS else policy.compare
    return f"{what} is {function}{value:.6g}, {side} {threshold:.6g}: {now} ({reason.value})"


def _whose(name: TriggerSeries) -> str:
    """Return whose a series is, or its tags where nobody's, for a text."""
    resource = resource_of(name.tags)
    if resource != NO_RESOURCE:
        return f" of {resource}"
    return "".join(f" {key}={value}" for key, value in name.tags.items())


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _digest(*parts: str) -> str:
    return sha256("\x00".join(parts).encode()).hexdigest()[:_ID_CHARACTERS]

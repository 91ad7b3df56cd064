"""The rules of trigger policies and the state of alerts, in columns: what compiled code decides by."""

from typing import NamedTuple

import numpy as np

from pipeline.core.records.identity.interning import Array, grown
from schemas.alert import AlertReason, AlertState

NEVER = -(1 << 62)
"""Event time before all others."""
NONE = -1
"""No alert, no policy, no sample."""

INFO, WARN, CRITICAL = 1, 2, 3
"""Levels that are told; 0 is none."""
LEVEL_COLUMNS = 4

ABOVE, AT_LEAST, BELOW, AT_MOST, EQUAL, UNEQUAL = range(6)
COMPARISONS = (">", ">=", "<", "<=", "==", "!=")
"""What the numbers before stand for."""

STATES = tuple(AlertState)
"""What `Alerts.state` and events number."""
OK, PENDING, FIRING, RECOVERING, NODATA, SUPPRESSED = range(len(STATES))

REASONS = tuple(AlertReason)
"""What events number."""
(
    BEGAN,
    BEGAN_ENDED,
    FIRST_BREACH,
    LEVEL_UP,
    LEVEL_DOWN,
    REPEAT_DUE,
    KEPT,
    STILL_FIRING,
    RECOVERED,
    WENT_SILENT,
    CAME_BACK,
    FLAPPING,
    FLAPPING_ENDED,
    POLICY_CHANGED,
    POLICY_DISABLED,
    POLICY_DELETED,
) = range(len(REASONS))

# entries of Events.counts
EVENTS, EVALUATIONS, LATE, AT_SAMPLE, AT_ALERT, COUNTS = range(6)
MOST_EVENTS_A_STEP = 2


class Rules(NamedTuple):
    """What policies say; one row a policy."""

    silence_ms: Array  # int64: 0 for all but silence
    severity: Array  # int8: of a silence, its level
    compare: Array  # int8
    fire: Array  # float64[policies, LEVEL_COLUMNS]: NaN where there is no such level
    reset: Array  # float64[policies, LEVEL_COLUMNS]: NaN where there is none
    easiest: Array  # float64: fire of the least serious level
    pending_ms: Array  # int64
    keep_ms: Array  # int64
    repeat_ms: Array  # int64: 0 for never
    flap_history: Array  # int32: 0 for none
    flap_low: Array  # float64
    flap_high: Array  # float64


class Alerts(NamedTuple):
    """Alerts, one a row: a policy and a series, and what is known of them."""

    policy: Array  # int32: row of the policy; NONE where the row is free
    series: Array  # int32
    following: Array  # int32: the next alert of the series, by the policies' ids; NONE at the end
    state: Array  # int8
    level: Array  # int8: what fires, whether it was told or not
    told: Array  # int8: the level that was told last
    target: Array  # int8: what the condition alone says
    turned_ms: Array  # int64[alerts, LEVEL_COLUMNS]: since when the condition is, or is not, of this level or more
    changes: Array  # int64: bits: whether the level changed at a sample, the newest lowest
    last_ms: Array  # int64: event time of the newest sample
    last_offset: Array  # int64
    told_ms: Array  # int64: when it was told last
    repeats: Array  # int32
    sequence: Array  # int64: of its newest event


class Events(NamedTuple):
    """What happened; one row an event, the first ``counts[EVENTS]`` count."""

    alert: Array  # int32
    sample: Array  # int64: of the batch; NONE where the evidence is an earlier one
    sequence: Array  # int64
    reason: Array  # int8
    state: Array  # int8
    previous_state: Array  # int8
    level: Array  # int8
    previous_level: Array  # int8
    notify: Array  # bool
    repeat: Array  # int32
    time_ms: Array  # int64
    value: Array  # float64: NaN for none
    threshold: Array  # float64: NaN for none
    evidence_ms: Array  # int64: NEVER for none
    evidence_offset: Array  # int64
    counts: Array  # int64[COUNTS]


def new_rules() -> Rules:
    """Give rules without policies."""
    ints = dict.fromkeys(("silence_ms", "pending_ms", "keep_ms", "repeat_ms"), np.int64)
    return Rules(
        **{name: np.zeros(0, kind) for name, kind in ints.items()},
        severity=np.zeros(0, np.int8),
        compare=np.zeros(0, np.int8),
        fire=np.zeros((0, LEVEL_COLUMNS)),
        reset=np.zeros((0, LEVEL_COLUMNS)),
        easiest=np.zeros(0),
        flap_history=np.zeros(0, np.int32),
        flap_low=np.zeros(0),
        flap_high=np.zeros(0),
    )


def new_alerts() -> Alerts:
    """Give room for no alerts."""
    small = dict.fromkeys(("state", "level", "told", "target"), np.int8)
    rows = dict.fromkeys(("policy", "series", "following", "repeats"), np.int32)
    long = dict.fromkeys(("changes", "last_ms", "last_offset", "told_ms", "sequence"), np.int64)
    return Alerts(
        **{name: np.zeros(0, kind) for name, kind in (small | rows | long).items()},
        turned_ms=np.zeros((0, LEVEL_COLUMNS), np.int64),
    )


def new_events(room: int) -> Events:
    """Give room for ``room`` events."""
    small = dict.fromkeys(("reason", "state", "previous_state", "level", "previous_level"), np.int8)
    rows = dict.fromkeys(("alert", "repeat"), np.int32)
    long = dict.fromkeys(("sample", "sequence", "time_ms", "evidence_ms", "evidence_offset"), np.int64)
    return Events(
        **{name: np.zeros(room, kind) for name, kind in (small | rows | long).items()},
        notify=np.zeros(room, np.bool_),
        value=np.zeros(room),
        threshold=np.zeros(room),
        counts=np.zeros(COUNTS, np.int64),
    )


def with_alerts(alerts: Alerts, count: int) -> Alerts:
    """Give ``alerts`` with room for ``count`` or more; new rows are free."""
    known = len(alerts.policy)
    if count <= known:
        return alerts
    larger = Alerts(*(grown(column, count) for column in alerts))
    larger.policy[known:] = NONE
    return larger


def clear_alert(alerts: Alerts, alert: int) -> None:
    """Let an alert have seen nothing; its policy and series are not touched."""
    for column in alerts[3:]:
        column[alert] = 0
    alerts.last_ms[alert] = NEVER
    alerts.told_ms[alert] = NEVER
    alerts.turned_ms[alert] = NEVER

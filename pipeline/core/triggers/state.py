"""The rules of trigger policies and the state of alerts, in columns: what compiled code decides by."""

from typing import NamedTuple

import numpy as np

from pipeline.core.compiled import Array
from pipeline.core.records.identity.interning import grown
from schemas.alert import AlertReason, AlertState
from schemas.severity import Severity

NEVER = -(1 << 62)
"""Event time before all others."""
NONE = -1
"""No alert, no policy, no sample."""

CRITICAL = Severity.CRITICAL.value
LEVEL_COLUMNS = len(Severity)
"""A column for each `Severity`; that of normal is not used."""

ABOVE, AT_LEAST, BELOW, AT_MOST, EQUAL, UNEQUAL = 0, 1, 2, 3, 4, 5
COMPARISONS = {">": ABOVE, ">=": AT_LEAST, "<": BELOW, "<=": AT_MOST, "==": EQUAL, "!=": UNEQUAL}
"""The code of each operator."""

OK = 0
PENDING = 1
FIRING = 2
RECOVERING = 3
NODATA = 4
FLAPPING = 5
STATES = {
    OK: AlertState.OK,
    PENDING: AlertState.PENDING,
    FIRING: AlertState.FIRING,
    RECOVERING: AlertState.RECOVERING,
    NODATA: AlertState.NODATA,
    FLAPPING: AlertState.FLAPPING,
}
"""What the codes of `Alerts.state` and of events mean; snapshots hold them: a code never changes its meaning."""

BECAME_PENDING = 0
PENDING_ENDED = 1
FIRST_BREACH = 2
LEVEL_UP = 3
LEVEL_DOWN = 4
REPEAT_DUE = 5
BECAME_RECOVERING = 6
STILL_FIRING = 7
RECOVERED = 8
WENT_SILENT = 9
CAME_BACK = 10
BECAME_FLAPPING = 11
FLAPPING_ENDED = 12
POLICY_CHANGED = 13
POLICY_DISABLED = 14
POLICY_DELETED = 15
REASONS = {
    BECAME_PENDING: AlertReason.PENDING,
    PENDING_ENDED: AlertReason.PENDING_ENDED,
    FIRST_BREACH: AlertReason.FIRST_BREACH,
    LEVEL_UP: AlertReason.LEVEL_UP,
    LEVEL_DOWN: AlertReason.LEVEL_DOWN,
    REPEAT_DUE: AlertReason.REPEAT_DUE,
    BECAME_RECOVERING: AlertReason.RECOVERING,
    STILL_FIRING: AlertReason.STILL_FIRING,
    RECOVERED: AlertReason.RECOVERED,
    WENT_SILENT: AlertReason.WENT_SILENT,
    CAME_BACK: AlertReason.CAME_BACK,
    BECAME_FLAPPING: AlertReason.FLAPPING,
    FLAPPING_ENDED: AlertReason.FLAPPING_ENDED,
    POLICY_CHANGED: AlertReason.POLICY_CHANGED,
    POLICY_DISABLED: AlertReason.POLICY_DISABLED,
    POLICY_DELETED: AlertReason.POLICY_DELETED,
}
"""What the reasons of events mean."""

# entries of Events.counts
EVENTS, EVALUATIONS, LATE, AT_SAMPLE, AT_ALERT = 0, 1, 2, 3, 4
COUNTS = 5
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
    level: Array  # int8: what fires, whether anybody was notified or not
    notified: Array  # int8: the level of the newest event that notifies
    target: Array  # int8: what the condition alone says
    turned_ms: Array  # int64[alerts, LEVEL_COLUMNS]: since when the condition is, or is not, of this level or more
    changes: Array  # int64: bits: whether the level changed at a sample, the newest lowest
    last_ms: Array  # int64: event time of the newest sample
    last_offset: Array  # int64
    notified_ms: Array  # int64: the time of that event
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
    """Return rules without policies."""
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
    """Return room for no alerts."""
    small = dict.fromkeys(("state", "level", "notified", "target"), np.int8)
    rows = dict.fromkeys(("policy", "series", "following", "repeats"), np.int32)
    long = dict.fromkeys(("changes", "last_ms", "last_offset", "notified_ms", "sequence"), np.int64)
    return Alerts(
        **{name: np.zeros(0, kind) for name, kind in (small | rows | long).items()},
        turned_ms=np.zeros((0, LEVEL_COLUMNS), np.int64),
    )


def new_events(room: int) -> Events:
    """Return room for ``room`` events."""
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
    """Return ``alerts`` with room for ``count`` or more; new rows are free."""
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
    alerts.notified_ms[alert] = NEVER
    alerts.turned_ms[alert] = NEVER

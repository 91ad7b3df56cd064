"""What a restart needs of triggers: policies, series and alerts as records and arrays of a snapshot."""

from typing import Final, NamedTuple

import numpy as np
import orjson

from pipeline.core.compiled import Array
from pipeline.core.triggers.alerts import AlertColumns
from pipeline.core.triggers.matching import TriggerSeries
from pipeline.core.triggers.rules import RuleTable
from pipeline.core.triggers.series import SeriesNumbers
from pipeline.core.triggers.state import NEVER, Alerts
from schemas.trigger_policy import TriggerPolicy, trigger_policy

__all__ = ["SavedAlerts", "TriggerState", "read_snapshot", "snapshot_of"]

_POLICIES: Final = "policies"
_SERIES: Final = "series"
_LINKS: Final = ("policy", "series", "following")
_KEPT: Final = tuple(name for name in Alerts._fields if name not in _LINKS)
_NO_SOURCES: Final = frozenset({"forecast"})
"""Before 0.1.0 a policy could compare what nothing produces; it has no alerts."""
_RENAMED: Final = {"told": "notified", "told_ms": "notified_ms"}
"""Columns of snapshots from before 0.1.0."""


class TriggerState(NamedTuple):
    """Small values and arrays by name, as `pipeline.core.snapshots.snapshot.Snapshot` takes them."""

    records: dict[str, bytes]
    arrays: dict[str, Array]


class SavedAlerts(NamedTuple):
    """A state, read."""

    policies: list[TriggerPolicy]
    series: list[TriggerSeries]
    seen_ms: Array
    """int64[series]"""
    policy: Array
    """int32[alerts]: in ``policies``."""
    of_series: Array
    """int32[alerts]: in ``series``."""
    columns: dict[str, Array]
    """All that `Alerts` has beside them, by name."""


def snapshot_of(rules: RuleTable, series: SeriesNumbers, table: AlertColumns) -> TriggerState:
    """Return the state of all alerts that have seen a sample, as copies."""
    alerts = table.alerts
    used = np.flatnonzero((alerts.policy[: table.used] >= 0) & (alerts.last_ms[: table.used] != NEVER))
    policies = rules.all()
    places = np.full(len(rules.rules.compare), -1, np.int32)
    for place, policy in enumerate(policies):
        places[rules.row(policy.id)] = place
    numbers, of_series = np.unique(alerts.series[used], return_inverse=True)
    records = {
        _POLICIES: b"[%b]" % b",".join(policy.model_dump_json().encode() for policy in policies),
        _SERIES: b"[%b]" % b",".join(series.text(number).encode() for number in numbers.tolist()),
    }
    arrays = {
        "seen_ms": series.seen_ms[numbers],
        "policy": places[alerts.policy[used]],
        "of_series": of_series.astype(np.int32),
        **{name: getattr(alerts, name)[used] for name in _KEPT},
    }
    return TriggerState(records, arrays)


def read_snapshot(state: TriggerState) -> SavedAlerts:
    """Return what a state holds.

    Raises
    ------
    ValueError
        If it is not what `snapshot_of` returned: something is missing, or of another shape or type.
    """
    try:
        documents = orjson.loads(state.records[_POLICIES])
        kept = [place for place, document in enumerate(documents) if document.get("on") not in _NO_SOURCES]
        policies = [trigger_policy(documents[place]) for place in kept]
        series = [TriggerSeries(*parts) for parts in orjson.loads(state.records[_SERIES])]
        policy, of_series, seen_ms = (state.arrays[name] for name in ("policy", "of_series", "seen_ms"))
        arrays = {_RENAMED.get(name, name): array for name, array in state.arrays.items()}
        columns = {name: arrays[name] for name in _KEPT}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no state of triggers: {error!r}") from error
    for places, count, what in ((policy, len(documents), _POLICIES), (of_series, len(series), _SERIES)):
        if len(places) and not 0 <= int(places.min()) <= int(places.max()) < count:
            raise ValueError(f"an alert is of {what} beyond the {count} that are there")
    lengths = {len(column) for column in (policy, of_series, *columns.values())}
    if len(lengths) > 1 or len(seen_ms) != len(series):
        raise ValueError(f"columns of alerts must be of one length, got {sorted(lengths)}")
    places = np.full(len(documents), -1, np.int32)
    places[kept] = np.arange(len(kept))
    return SavedAlerts(policies, series, seen_ms, places[policy], of_series, columns)

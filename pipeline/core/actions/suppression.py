"""Which open alerts are suppressed now: silences, maintenance, inhibition, acknowledgement, flapping."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from pipeline.core.actions.open_alerts import OpenAlert
from pipeline.core.globs import SeriesSelector, glob_matches
from schemas.action import ActionReason
from schemas.alert import AlertEvent, AlertState
from schemas.silence import Acknowledgement, AlertMatcher, Inhibition, Maintenance, Silence

__all__ = ["SUPPRESSIONS", "Suppression", "SuppressionRules", "Suppressions", "is_under_way"]

SUPPRESSIONS: Final = frozenset(
    {ActionReason.SILENCED, ActionReason.MAINTENANCE, ActionReason.INHIBITED, ActionReason.ACKNOWLEDGED}
)
"""Reasons that suppress an alert in Alertmanager's sense: somebody wants it so, whatever the alert does."""
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = timedelta(days=1)
_MILLISECOND: Final = timedelta(milliseconds=1)

_Sources = dict[tuple[str | None, ...], list[str]]
"""Of an inhibition the alerts that inhibit others, by the tags that must be equal."""


class Suppression(NamedTuple):
    """Why nobody is notified of an alert now."""

    reason: ActionReason
    by: str
    """The id of the silence, maintenance window, acknowledgement or inhibition; of one that flaps its own."""


class SuppressionRules(NamedTuple):
    """All that suppresses alerts."""

    silences: Sequence[Silence] = ()
    maintenance: Sequence[Maintenance] = ()
    inhibitions: Sequence[Inhibition] = ()
    acknowledgements: Mapping[str, Acknowledgement] = {}
    """By the alert's id."""


class Suppressions:
    """What suppresses alerts at one moment; which alerts inhibit others is looked up when it is first asked.

    Parameters
    ----------
    rules
        What suppresses alerts.
    alerts
        All that are open: those that fire may inhibit others.
    now_ms
        The moment, in milliseconds since 1970.
    """

    def __init__(self, rules: SuppressionRules, alerts: Iterable[OpenAlert], now_ms: int) -> None:
        self._acknowledgements = rules.acknowledgements
        self._inhibitions = [rule for rule in rules.inhibitions if rule.enabled]
        self._alerts = alerts
        self._in_force = [
            (_AlertSelector(silence.alerts), Suppression(ActionReason.SILENCED, silence.id))
            for silence in rules.silences
            if silence.starts_ms <= now_ms < silence.ends_ms
        ] + [
            (_AlertSelector(window.alerts), Suppression(ActionReason.MAINTENANCE, window.id))
            for window in rules.maintenance
            if is_under_way(window, now_ms)
        ]
        self._sources: list[tuple[Inhibition, _AlertSelector, _Sources]] | None = None

    def of(self, alert: OpenAlert) -> Suppression | None:
        """Return what suppresses an open alert, None if nothing does."""
        return self._looked_after(alert) or self.of_event(alert.event) or self._inhibited(alert)

    def of_event(self, event: AlertEvent) -> Suppression | None:
        """Return the silence or maintenance window that an event falls into, None without one."""
        return next((suppression for alerts, suppression in self._in_force if alerts.matches(event)), None)

    def _looked_after(self, alert: OpenAlert) -> Suppression | None:
        if alert.event.state is AlertState.FLAPPING:
            return Suppression(ActionReason.FLAPPING, alert.alert_id)
        known = self._acknowledgements.get(alert.alert_id)
        if known is not None and known.sequence >= alert.opened_sequence:
            return Suppression(ActionReason.ACKNOWLEDGED, known.id)
        return None

    def _inhibited(self, alert: OpenAlert) -> Suppression | None:
        """Return the rule by which another alert inhibits this one: one that fires, with equal tags."""
        if self._sources is None:
            self._sources = [(rule, _AlertSelector(rule.targets), self._sources_of(rule)) for rule in self._inhibitions]
        for rule, targets, sources in self._sources:
            found = sources.get(_tags(rule, alert.event), [])
            if any(source != alert.alert_id for source in found) and targets.matches(alert.event):
                return Suppression(ActionReason.INHIBITED, rule.id)
        return None

    def _sources_of(self, rule: Inhibition) -> _Sources:
        """Return the alerts that inhibit others by a rule, by the tags that must be equal."""
        sources: _Sources = {}
        selector = _AlertSelector(rule.source)
        for alert in self._alerts:
            if alert.event.state is not AlertState.FLAPPING and selector.matches(alert.event):
                sources.setdefault(_tags(rule, alert.event), []).append(alert.alert_id)
        return sources


class _AlertSelector:
    """Decides which alerts a matcher is about."""

    def __init__(self, matcher: AlertMatcher) -> None:
        self._policies = matcher.policies
        self._levels = matcher.levels
        self._series = SeriesSelector(matcher.where, matcher.targets)

    def matches(self, event: AlertEvent) -> bool:
        """Return whether all that the matcher says holds for an alert.

        The level is the event's; of one that says the alert is over, the level that it had.
        """
        return (
            (not self._policies or any(glob_matches(glob, event.policy) for glob in self._policies))
            and (not self._levels or (event.level or event.previous_level) in self._levels)
            and self._series.matches(event.measurement, event.field, event.tags)
        )


def is_under_way(window: Maintenance, now_ms: int) -> bool:
    """Return whether one of a window's occurrences covers a moment.

    Notes
    -----
    A start that the clock of the zone leaves out, or has twice, is the one before the clock is changed.
    """
    if not window.enabled:
        return False
    zone = ZoneInfo(window.zone)
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    day = now.astimezone(zone).date()
    for _ in range(window.duration // _DAY + 2):
        start = _start(window, day, zone)
        in_time = (window.first is None or window.first <= start) and (window.last is None or start < window.last)
        on_day = not window.days or _WEEKDAYS[day.weekday()] in window.days
        if on_day and in_time and start <= now and (now - start) // _MILLISECOND < window.duration // _MILLISECOND:
            return True
        day -= _DAY
    return False


def _start(window: Maintenance, day: date, zone: ZoneInfo) -> datetime:
    hour, minute = divmod(window.start_minute, 60)
    return datetime.combine(day, time(hour, minute), zone).astimezone(UTC)


def _tags(rule: Inhibition, event: AlertEvent) -> tuple[str | None, ...]:
    return tuple(event.tags.get(key) for key in rule.equal)

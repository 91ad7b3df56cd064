"""Which open alerts are suppressed now: silences, maintenance, inhibition, acknowledgement, flapping."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from pipeline.core.actions.open_alerts import OpenAlert
from schemas.action import ActionReason
from schemas.alert import AlertEvent, AlertState
from schemas.silence import Acknowledgement, AlertMatcher, Inhibition, Maintenance, Silence

__all__ = ["SUPPRESSIONS", "Suppression", "SuppressionRules", "Suppressions", "is_under_way", "matches"]

SUPPRESSIONS: Final = frozenset(
    {ActionReason.SILENCED, ActionReason.MAINTENANCE, ActionReason.INHIBITED, ActionReason.ACKNOWLEDGED}
)
"""Reasons that suppress an alert in Alertmanager's sense: somebody wants it so, whatever the alert does."""
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = timedelta(days=1)
_MILLISECOND: Final = timedelta(milliseconds=1)


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
            (silence.alerts, Suppression(ActionReason.SILENCED, silence.id))
            for silence in rules.silences
            if silence.starts_ms <= now_ms < silence.ends_ms
        ] + [
            (window.alerts, Suppression(ActionReason.MAINTENANCE, window.id))
            for window in rules.maintenance
            if is_under_way(window, now_ms)
        ]
        self._sources: list[dict[tuple[str | None, ...], list[str]]] | None = None

    def of(self, alert: OpenAlert) -> Suppression | None:
        """Return what suppresses an open alert, None if nothing does."""
        return self._looked_after(alert) or self.of_event(alert.event) or self._inhibited(alert)

    def of_event(self, event: AlertEvent) -> Suppression | None:
        """Return the silence or maintenance window that an event falls into, None without one."""
        return next((suppression for matcher, suppression in self._in_force if matches(matcher, event)), None)

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
            self._sources = [self._sources_of(rule) for rule in self._inhibitions]
        for rule, sources in zip(self._inhibitions, self._sources, strict=True):
            found = sources.get(_tags(rule, alert.event), [])
            if any(source != alert.alert_id for source in found) and matches(rule.targets, alert.event):
                return Suppression(ActionReason.INHIBITED, rule.id)
        return None

    def _sources_of(self, rule: Inhibition) -> dict[tuple[str | None, ...], list[str]]:
        """Return the alerts that inhibit others by a rule, by the tags that must be equal."""
        sources: dict[tuple[str | None, ...], list[str]] = {}
        for alert in self._alerts:
            if alert.event.state is not AlertState.FLAPPING and matches(rule.source, alert.event):
                sources.setdefault(_tags(rule, alert.event), []).append(alert.alert_id)
        return sources


def matches(matcher: AlertMatcher, event: AlertEvent) -> bool:
    """Return whether all that a matcher says holds for an alert.

    The level is the event's; of one that says the alert is over, the level that it had.
    """
    where, level = matcher.where, event.level or event.previous_level
    return (
        (not matcher.policies or any(fnmatchcase(event.policy, glob) for glob in matcher.policies))
        and (not matcher.levels or level in matcher.levels)
        and fnmatchcase(event.measurement, where.measurement)
        and fnmatchcase(event.field, where.field)
        and _all_fit(where.tags, event.tags)
        and (
            not matcher.targets or any(_all_fit(_asked(target.model_dump()), event.tags) for target in matcher.targets)
        )
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


def _asked(target: Mapping[str, str]) -> dict[str, str]:
    return {key: glob for key, glob in target.items() if glob != "*"}


def _all_fit(globs: Mapping[str, str], tags: Mapping[str, str]) -> bool:
    return all(key in tags and fnmatchcase(tags[key], glob) for key, glob in globs.items())

"""What is to be done about open alerts, step by step: who is notified, which script is run, and why not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Annotated, Final, NamedTuple

from pydantic import AliasChoices, Field, TypeAdapter

from pipeline.core.actions.open_alerts import OpenAlert, OpenAlerts
from pipeline.core.actions.suppression import SUPPRESSIONS, Suppression, SuppressionRules, Suppressions
from schemas.action import ActionReason, Outcome
from schemas.alert import AlertEvent, AlertReason
from schemas.scenario import Scenario, Step
from schemas.severity import LEVELS, LevelName
from schemas.trigger_policy import TriggerPolicy

__all__ = ["ActionPlanner", "ActionRules", "Decision", "Item", "Notification", "ScriptRun", "Skip"]

_KEY_CHARACTERS: Final = 32
_MILLISECOND: Final = timedelta(milliseconds=1)
_KNOWN_AFTER_MS: Final = 2000
"""A policy that was just applied may be known to who evaluates it sooner than here."""
_GROUP_WINDOW: Final = timedelta(seconds=10)
"""Of policies that name channels themselves; scenarios have their own."""


class ActionRules(NamedTuple):
    """All that decides what is done."""

    policies: Mapping[str, TriggerPolicy]
    scenarios: Mapping[str, Scenario]
    suppression: SuppressionRules = SuppressionRules()


class Item(NamedTuple):
    """One alert that one channel is to be notified of, or one script to be run for."""

    key: str
    """Identifies it: equal for all attempts, and after a restart."""
    event: AlertEvent
    scenario: str | None
    """None where the policy names its channels itself."""
    step: int | None
    """From 0; None for what is no step: a repetition, an end."""
    reason: ActionReason


class Notification(NamedTuple):
    """What goes out to a channel as one: alerts of one resource, in the order that they came in."""

    key: str
    channel: str
    to: tuple[str, ...]
    items: tuple[Item, ...]


class ScriptRun(NamedTuple):
    """One run of a script for an alert."""

    script: str
    item: Item

    @property
    def key(self) -> str:
        """What identifies it: equal after a restart."""
        return self.item.key


class Skip(NamedTuple):
    """What is due and not done; returned once for each reason. A step is done after all when the reason is gone."""

    target: str
    """The channel or script; empty where it is not known which."""
    by: str
    """The id of what suppresses it, or of what is missing or disabled."""
    item: Item

    @property
    def outcome(self) -> Outcome:
        """Whether it is suppressed, skipped for another reason, or cannot be done."""
        if self.item.reason in SUPPRESSIONS:
            return Outcome.SUPPRESSED
        return Outcome.FAILED if self.item.reason is ActionReason.UNKNOWN else Outcome.SKIPPED


Decision = Notification | ScriptRun | Skip
_Channel = tuple[str, tuple[str, ...]]
"""A channel, and the addresses instead of its own."""
_StepKey = tuple[str, int, int, str]
"""Alert, number of the event that it has its level since, step, channel or script."""
_GroupKey = tuple[str, tuple[str, ...], str]
"""Channel, addresses, resource."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Items that wait for others of their resource."""

    closes_ms: int
    items: tuple[Item, ...]


class _Cause(NamedTuple):
    """Why something that is due is not done."""

    reason: ActionReason
    by: str
    """The id of what suppresses it, or of what is missing or disabled."""


class _Course(NamedTuple):
    """What is done about the alerts of a policy."""

    scenario: str | None
    steps: Mapping[LevelName, tuple[Step, ...]]
    group_window: timedelta
    send_resolved: bool


@dataclass(frozen=True, slots=True)
class _State:
    """All that a restart needs, for JSON."""

    open: list[OpenAlert]
    newest: list[tuple[str, int, int]]
    done: list[_StepKey]
    skipped: list[tuple[_StepKey, _Cause]]
    notified: Annotated[
        list[tuple[str, list[_Channel]]],
        Field(validation_alias=AliasChoices("notified", "told")),  # as it was called before 0.1.0
    ]
    groups: list[tuple[_GroupKey, _Group]]


class ActionPlanner:
    """Decides what is done about the alerts of some partitions.

    Notes
    -----
    It has no clock: `take` and `due` are passed the time. What they returned counts as done: after a crash that lost
    some of it, the state from before returns it again, with the same keys.
    """

    def __init__(self) -> None:
        self.alerts = OpenAlerts()
        self._done: dict[str, dict[_StepKey, None]] = {}
        self._skipped: dict[str, dict[_StepKey, _Cause]] = {}
        self._notified: dict[str, list[_Channel]] = {}
        self._groups: dict[_GroupKey, _Group] = {}

    def take(self, event: AlertEvent, rules: ActionRules, now_ms: int) -> list[Skip]:
        """Take an event of ``alerts``; return whom it is not sent to, and why.

        A repetition, and an end, go to the channels that were notified of the alert; a new level begins its steps,
        which `due` returns.

        Parameters
        ----------
        event
            The event.
        rules
            All that decides what is done.
        now_ms
            The clock, in milliseconds since 1970.
        """
        if not self.alerts.take(event):
            return []
        alert = self.alerts.get(event.alert_id)
        skips: list[Skip] = []
        if alert is None:
            suppression = Suppressions(rules.suppression, self.alerts, now_ms).of_event(event)
            skips = self._notify_again(event, ActionReason.RECOVERED, suppression, rules, now_ms)
            self._notified.pop(event.alert_id, None)
        elif event.reason is AlertReason.REPEAT_DUE:
            suppression = Suppressions(rules.suppression, self.alerts, now_ms).of(alert)
            skips = self._notify_again(event, ActionReason.REPEATED, suppression, rules, now_ms)
        self._forget_steps(event.alert_id, None if alert is None else alert.level_sequence)
        return skips

    def due(self, rules: ActionRules, now_ms: int) -> list[Decision]:
        """Return what is to be done now: scripts, notifications whose group window is over, what is not done and why.

        Parameters
        ----------
        rules
            All that decides what is done.
        now_ms
            The clock, in milliseconds since 1970.
        """
        found: list[Decision] = []
        suppressions = Suppressions(rules.suppression, self.alerts, now_ms)
        courses: dict[str, _Course | _Cause] = {}
        for alert in self.alerts:
            policy = alert.event.policy
            course = courses.get(policy) or courses.setdefault(policy, _course(policy, rules))
            found.extend(self._steps(alert, course, suppressions, now_ms))
        for key in [key for key, group in self._groups.items() if group.closes_ms <= now_ms]:
            channel, to, _ = key
            items = self._groups.pop(key).items
            found.append(Notification(_digest(*(item.key for item in items)), channel, to, items))
        return found

    def _steps(
        self, alert: OpenAlert, course: _Course | _Cause, suppressions: Suppressions, now_ms: int
    ) -> Iterator[Decision]:
        if isinstance(course, _Cause):
            if course.reason is not ActionReason.UNKNOWN or now_ms >= alert.event.time_ms + _KNOWN_AFTER_MS:
                yield from self._skip(alert, -1, "", course, None)
            return
        steps = course.steps.get(alert.event.level, ()) if alert.event.level is not None else ()
        done = self._done.get(alert.alert_id, {})
        for number, step in enumerate(steps):
            if alert.level_ms + step.after // _MILLISECOND > now_ms:
                return
            for target in step.notify or (step.run or "",):
                key = (alert.alert_id, alert.level_sequence, number, target)
                if key in done:
                    continue
                suppression = suppressions.of(alert)
                if suppression is not None:
                    yield from self._skip(alert, number, target, _Cause(*suppression), course.scenario)
                    continue
                self._done.setdefault(alert.alert_id, {})[key] = None
                item = _step_item(alert, number, target, course.scenario, ActionReason.DUE)
                if step.run is not None:
                    yield ScriptRun(target, item)
                else:
                    self._notify((target, step.to), item, course, now_ms)

    def _skip(self, alert: OpenAlert, number: int, target: str, cause: _Cause, scenario: str | None) -> Iterator[Skip]:
        """Yield why a step is not done, if that is news."""
        key = (alert.alert_id, alert.level_sequence, number, target)
        skipped = self._skipped.setdefault(alert.alert_id, {})
        if skipped.get(key) != cause:
            skipped[key] = cause
            yield Skip(target, cause.by, _step_item(alert, number, target, scenario, cause.reason))

    def _notify(self, channel: _Channel, item: Item, course: _Course, now_ms: int) -> None:
        """Put an item to those of its resource that wait for the channel."""
        notified = self._notified.setdefault(item.event.alert_id, [])
        if channel not in notified:
            notified.append(channel)
        key = (*channel, item.event.resource)
        group = self._groups.get(key) or _Group(now_ms + course.group_window // _MILLISECOND, ())
        self._groups[key] = _Group(group.closes_ms, (*group.items, item))

    def _notify_again(
        self,
        event: AlertEvent,
        reason: ActionReason,
        suppression: Suppression | None,
        rules: ActionRules,
        now_ms: int,
    ) -> list[Skip]:
        """Notify the channels that were notified of an alert of an event of it."""
        course = _course(event.policy, rules)
        if isinstance(course, _Cause):
            course = _Course(None, {}, _GROUP_WINDOW, send_resolved=True)  # an end is sent whatever has become of it
        if reason is ActionReason.RECOVERED and not course.send_resolved:
            return []
        skips = []
        for channel in list(self._notified.get(event.alert_id, ())):
            name, to = channel
            key = _digest(event.id, name, *to)
            if suppression is None:
                self._notify(channel, Item(key, event, course.scenario, None, reason), course, now_ms)
            else:
                item = Item(key, event, course.scenario, None, suppression.reason)
                skips.append(Skip(name, suppression.by, item))
        return skips

    def _forget_steps(self, alert_id: str, level_sequence: int | None) -> None:
        """Forget the steps of levels that an alert has no more."""
        done = {key: None for key in self._done.pop(alert_id, {}) if key[1] == level_sequence}
        if done:
            self._done[alert_id] = done
        skipped = {key: cause for key, cause in self._skipped.pop(alert_id, {}).items() if key[1] == level_sequence}
        if skipped:
            self._skipped[alert_id] = skipped

    def to_bytes(self) -> bytes:
        """Return all that a restart needs, as JSON."""
        state = _State(
            list(self.alerts),
            self.alerts.newest,
            [key for done in self._done.values() for key in done],
            [item for skipped in self._skipped.values() for item in skipped.items()],
            list(self._notified.items()),
            list(self._groups.items()),
        )
        return _STATE.dump_json(state)

    @classmethod
    def from_bytes(cls, state: bytes) -> "ActionPlanner":
        """Return what `to_bytes` saved.

        Raises
        ------
        pydantic.ValidationError
            If it is no such state.
        """
        known = _STATE.validate_json(state)
        actions = cls()
        actions.alerts = OpenAlerts(known.open, known.newest)
        for key in known.done:
            actions._done.setdefault(key[0], {})[key] = None
        for key, cause in known.skipped:
            actions._skipped.setdefault(key[0], {})[key] = cause
        actions._notified = dict(known.notified)
        actions._groups = dict(known.groups)
        return actions


_STATE: Final = TypeAdapter(_State)


def _course(policy_id: str, rules: ActionRules) -> _Course | _Cause:
    """Return what is done about the alerts of a policy, or why nothing is."""
    policy = rules.policies.get(policy_id)
    if policy is None:
        return _Cause(ActionReason.UNKNOWN, policy_id)
    if policy.scenario is None:
        steps = (Step.model_construct(after=timedelta(0), notify=policy.channels, run=None, to=()),)
        levels: dict[LevelName, tuple[Step, ...]] = {}
        if policy.channels:
            levels = dict.fromkeys(LEVELS, steps)
        return _Course(None, levels, _GROUP_WINDOW, send_resolved=True)
    scenario = rules.scenarios.get(policy.scenario)
    if scenario is None or not scenario.enabled:
        return _Cause(ActionReason.UNKNOWN if scenario is None else ActionReason.DISABLED, policy.scenario)
    levels = {level: scenario.levels.of(level) for level in LEVELS}
    return _Course(scenario.id, levels, scenario.group_window, scenario.send_resolved)


def _step_item(alert: OpenAlert, number: int, target: str, scenario: str | None, reason: ActionReason) -> Item:
    since = str(alert.level_sequence), str(alert.level_ms)
    key = _digest(alert.alert_id, *since, str(number), target)
    return Item(key, alert.event, scenario, None if number < 0 else number, reason)


def _digest(*parts: str) -> str:
    return sha256("\x00".join(parts).encode()).hexdigest()[:_KEY_CHARACTERS]

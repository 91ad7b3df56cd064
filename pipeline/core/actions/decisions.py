"""What is to be done about open alerts, step by step: who is told, which script is run, and why not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Final, NamedTuple

from pydantic import TypeAdapter

from pipeline.core.actions.open_alerts import OpenAlert, OpenAlerts
from pipeline.core.actions.quiet import Quiet, QuietNow, QuietRules
from schemas.action import ActionReason
from schemas.alert import AlertEvent, AlertReason
from schemas.scenario import Scenario, Step
from schemas.trigger_policy import LevelName, TriggerPolicy

__all__ = ["ActionRules", "Actions", "Decision", "Item", "Message", "Run", "Skip"]

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
    quiet: QuietRules = QuietRules()


class Item(NamedTuple):
    """One alert to be told to one channel, or to run one script for."""

    key: str
    """Identifies it: equal for all attempts, and after a restart."""
    event: AlertEvent
    scenario: str | None
    """None where the policy names its channels itself."""
    step: int | None
    """From 0; None for what is no step: a repetition, an end."""
    reason: ActionReason


class Message(NamedTuple):
    """What goes out to a channel as one: alerts of one resource, in the order that they came in."""

    key: str
    channel: str
    to: tuple[str, ...]
    items: tuple[Item, ...]


class Run(NamedTuple):
    """A script to be run for an alert."""

    script: str
    item: Item


class Skip(NamedTuple):
    """What is due and not done; given once for each reason. A step is done after all when the reason is gone."""

    target: str
    """The channel or script; empty where it is not known which."""
    by: str
    """The id of what keeps it quiet, or of what is missing or disabled."""
    item: Item


Decision = Message | Run | Skip
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


class _Course(NamedTuple):
    """What is done about the alerts of a policy."""

    scenario: str | None
    steps: Mapping[LevelName, tuple[Step, ...]]
    group_window: timedelta
    tell_recovery: bool


@dataclass(frozen=True, slots=True)
class _State:
    """All that a restart needs, for JSON."""

    open: list[OpenAlert]
    newest: list[tuple[str, int, int]]
    done: list[_StepKey]
    skipped: list[tuple[_StepKey, Quiet]]
    told: list[tuple[str, list[_Channel]]]
    groups: list[tuple[_GroupKey, _Group]]


class Actions:
    """Decides what is done about the alerts of some partitions.

    Notes
    -----
    It has no clock: `take` and `due` are told the time. What they gave counts as done: after a crash that lost some of
    it, the state from before gives it again, with the same keys.
    """

    def __init__(self) -> None:
        self.alerts = OpenAlerts()
        self._done: dict[str, dict[_StepKey, None]] = {}
        self._skipped: dict[str, dict[_StepKey, Quiet]] = {}
        self._told: dict[str, list[_Channel]] = {}
        self._groups: dict[_GroupKey, _Group] = {}

    def take(self, event: AlertEvent, rules: ActionRules, now_ms: int) -> list[Skip]:
        """Take an event of ``alerts``; give what is not told because of it.

        A repetition, and an end, go to the channels that were told of the alert; a new level begins its steps, which
        `due` gives.
        """
        if not self.alerts.take(event):
            return []
        alert = self.alerts.get(event.alert_id)
        skips: list[Skip] = []
        if alert is None:
            quiet = QuietNow(rules.quiet, self.alerts, now_ms).of_event(event)
            skips = self._tell_again(event, ActionReason.RECOVERED, quiet, rules, now_ms)
            self._told.pop(event.alert_id, None)
        elif event.reason is AlertReason.REPEAT_DUE:
            quiet = QuietNow(rules.quiet, self.alerts, now_ms).of(alert)
            skips = self._tell_again(event, ActionReason.REPEATED, quiet, rules, now_ms)
        self._forget_steps(event.alert_id, None if alert is None else alert.level_sequence)
        return skips

    def due(self, rules: ActionRules, now_ms: int) -> list[Decision]:
        """Give what is to be done now: scripts, messages whose group window is over, and what is not done and why."""
        found: list[Decision] = []
        quiet_now = QuietNow(rules.quiet, self.alerts, now_ms)
        courses: dict[str, _Course | Quiet] = {}
        for alert in self.alerts:
            policy = alert.event.policy
            course = courses.get(policy) or courses.setdefault(policy, _course(policy, rules))
            found.extend(self._steps(alert, course, quiet_now, now_ms))
        for key in [key for key, group in self._groups.items() if group.closes_ms <= now_ms]:
            channel, to, _ = key
            items = self._groups.pop(key).items
            found.append(Message(_digest(*(item.key for item in items)), channel, to, items))
        return found

    def _steps(self, alert: OpenAlert, course: _Course | Quiet, quiet_now: QuietNow, now_ms: int) -> Iterator[Decision]:
        if isinstance(course, Quiet):
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
                quiet = quiet_now.of(alert)
                if quiet is not None:
                    yield from self._skip(alert, number, target, quiet, course.scenario)
                    continue
                self._done.setdefault(alert.alert_id, {})[key] = None
                item = _step_item(alert, number, target, course.scenario, ActionReason.DUE)
                if step.run is not None:
                    yield Run(target, item)
                else:
                    self._tell((target, step.to), item, course, now_ms)

    def _skip(self, alert: OpenAlert, number: int, target: str, quiet: Quiet, scenario: str | None) -> Iterator[Skip]:
        """Give why a step is not done, if that is news."""
        key = (alert.alert_id, alert.level_sequence, number, target)
        skipped = self._skipped.setdefault(alert.alert_id, {})
        if skipped.get(key) != quiet:
            skipped[key] = quiet
            yield Skip(target, quiet.by, _step_item(alert, number, target, scenario, quiet.reason))

    def _tell(self, channel: _Channel, item: Item, course: _Course, now_ms: int) -> None:
        """Put an item to those of its resource that wait for the channel."""
        told = self._told.setdefault(item.event.alert_id, [])
        if channel not in told:
            told.append(channel)
        key = (*channel, item.event.resource)
        group = self._groups.get(key) or _Group(now_ms + course.group_window // _MILLISECOND, ())
        self._groups[key] = _Group(group.closes_ms, (*group.items, item))

    def _tell_again(
        self, event: AlertEvent, reason: ActionReason, quiet: Quiet | None, rules: ActionRules, now_ms: int
    ) -> list[Skip]:
        """Tell an event to the channels that were told of its alert."""
        course = _course(event.policy, rules)
        if isinstance(course, Quiet):
            course = _Course(None, {}, _GROUP_WINDOW, tell_recovery=True)  # an end is told whatever has become of it
        if reason is ActionReason.RECOVERED and not course.tell_recovery:
            return []
        skips = []
        for channel in list(self._told.get(event.alert_id, ())):
            name, to = channel
            key = _digest(event.id, name, *to)
            if quiet is None:
                self._tell(channel, Item(key, event, course.scenario, None, reason), course, now_ms)
            else:
                skips.append(Skip(name, quiet.by, Item(key, event, course.scenario, None, quiet.reason)))
        return skips

    def _forget_steps(self, alert_id: str, level_sequence: int | None) -> None:
        """Forget the steps of levels that an alert has no more."""
        done = {key: None for key in self._done.pop(alert_id, {}) if key[1] == level_sequence}
        if done:
            self._done[alert_id] = done
        skipped = {key: quiet for key, quiet in self._skipped.pop(alert_id, {}).items() if key[1] == level_sequence}
        if skipped:
            self._skipped[alert_id] = skipped

    def state(self) -> bytes:
        """Give all that a restart needs, as JSON."""
        state = _State(
            list(self.alerts),
            self.alerts.newest,
            [key for done in self._done.values() for key in done],
            [item for skipped in self._skipped.values() for item in skipped.items()],
            list(self._told.items()),
            list(self._groups.items()),
        )
        return _STATE.dump_json(state)

    @classmethod
    def restored(cls, state: bytes) -> "Actions":
        """Go on from a state.

        Raises
        ------
        pydantic.ValidationError
            If it is none.
        """
        known = _STATE.validate_json(state)
        actions = cls()
        actions.alerts = OpenAlerts(known.open, known.newest)
        for key in known.done:
            actions._done.setdefault(key[0], {})[key] = None
        for key, quiet in known.skipped:
            actions._skipped.setdefault(key[0], {})[key] = quiet
        actions._told = dict(known.told)
        actions._groups = dict(known.groups)
        return actions


_STATE: Final = TypeAdapter(_State)


def _course(policy_id: str, rules: ActionRules) -> _Course | Quiet:
    """Give what is done about the alerts of a policy, or why nothing is."""
    policy = rules.policies.get(policy_id)
    if policy is None:
        return Quiet(ActionReason.UNKNOWN, policy_id)
    if policy.scenario is None:
        steps = (Step.model_construct(after=timedelta(0), notify=policy.channels, run=None, to=()),)
        levels: dict[LevelName, tuple[Step, ...]] = {}
        if policy.channels:
            levels = {"info": steps, "warn": steps, "critical": steps}
        return _Course(None, levels, _GROUP_WINDOW, tell_recovery=True)
    scenario = rules.scenarios.get(policy.scenario)
    if scenario is None or not scenario.enabled:
        return Quiet(ActionReason.UNKNOWN if scenario is None else ActionReason.DISABLED, policy.scenario)
    of = scenario.levels
    levels = {"info": of.info, "warn": of.warn, "critical": of.critical}
    return _Course(scenario.id, levels, scenario.group_window, scenario.tell_recovery)


def _step_item(alert: OpenAlert, number: int, target: str, scenario: str | None, reason: ActionReason) -> Item:
    since = str(alert.level_sequence), str(alert.level_ms)
    key = _digest(alert.alert_id, *since, str(number), target)
    return Item(key, alert.event, scenario, None if number < 0 else number, reason)


def _digest(*parts: str) -> str:
    return sha256("\x00".join(parts).encode()).hexdigest()[:_KEY_CHARACTERS]

"""Trigger policies over many series: samples in, in columns; the events of their alerts out."""

from collections import Counter
from typing import NamedTuple, Self

import numpy as np

from pipeline.core.compiled import Array
from pipeline.core.triggers.alerts import AlertColumns
from pipeline.core.triggers.matching import SAMPLES, PolicyIndex, Selector, TriggerSeries, source_of
from pipeline.core.triggers.records import EventOrigin, alert_event
from pipeline.core.triggers.rules import RuleTable
from pipeline.core.triggers.series import SeriesNumbers
from pipeline.core.triggers.snapshot import TriggerState, read_snapshot, snapshot_of
from pipeline.core.triggers.state import (
    AT_ALERT,
    AT_SAMPLE,
    EVALUATIONS,
    EVENTS,
    LATE,
    NEVER,
    NONE,
    OK,
    PENDING,
    POLICY_CHANGED,
    POLICY_DELETED,
    POLICY_DISABLED,
    new_events,
)
from pipeline.core.triggers.step import evaluate, expire, resolve
from schemas.alert import AlertEvent
from schemas.trigger_policy import TriggerPolicy

__all__ = ["SAMPLES", "PolicyEvaluator", "TriggerCounts", "TriggerSeries", "TriggerState"]

_EVENTS_AT_ONCE = 4096


class TriggerCounts(NamedTuple):
    """What was done since the start."""

    evaluations: int
    """Samples compared with a policy, each policy for itself."""
    late: int
    """Of them those older than the newest sample that the alert has seen: they changed nothing."""


class PolicyEvaluator:
    """The alerts of trigger policies over the series of one partition.

    Parameters
    ----------
    partition : int, optional
        What events say of where their evidence lies; none for files.

    Notes
    -----
    An alert is a policy and a series that it matches. What its samples lead to depends on them alone, in their order:
    not on batches, other series, other policies, nor the clock. Samples older than its newest one change nothing;
    those of equal time are taken again, so that a corrected window counts. A value that is not finite is no sample.

    Examples
    --------
    >>> evaluator = PolicyEvaluator()
    >>> levels = {"warn": {"fire": 70, "reset": 60}, "critical": {"fire": 80}}
    >>> _ = evaluator.put_policy(TriggerPolicy.model_validate({"id": "cpu-high", "levels": levels}), at_ms=0)
    >>> cpu = evaluator.series(TriggerSeries("sample", "cpu", "usage", {"host": "a"}))
    >>> values = np.array([65.0, 75.0, 65.0, 85.0, 50.0])
    >>> times, offsets = 1000 * np.arange(5), np.arange(5)
    >>> [(event.time_ms, event.level) for event in evaluator.evaluate(np.full(5, cpu), times, values, offsets)]
    [(1000, 'warn'), (3000, 'critical'), (4000, None)]
    """

    def __init__(self, partition: int | None = None) -> None:
        self._partition = partition
        self._index = PolicyIndex()
        self._rules = RuleTable()
        self._series = SeriesNumbers()
        self._table = AlertColumns()
        self._events = new_events(_EVENTS_AT_ONCE)
        self._evaluations = 0
        self._late = 0
        self._sources: Counter[str] = Counter()

    @property
    def counts(self) -> TriggerCounts:
        """What was done since the start."""
        return TriggerCounts(self._evaluations, self._late)

    @property
    def alert_count(self) -> int:
        """How many pairs of a policy and a series there are."""
        return len(self._table)

    @property
    def open_count(self) -> int:
        """How many alerts have notified and are not over."""
        return self._table.open_count

    @property
    def policies(self) -> list[TriggerPolicy]:
        """The policies in force, by id."""
        return self._rules.all()

    @property
    def sources(self) -> frozenset[str]:
        """Where the values come from that any policy asks for."""
        return frozenset(+self._sources)

    def put_policy(self, policy: TriggerPolicy, *, at_ms: int) -> list[AlertEvent]:
        """Let a policy be in force, or the newer version of it; return the events of alerts that end by that.

        Parameters
        ----------
        policy
            The policy; one that is not enabled is taken out.
        at_ms
            When it was so: the time of these events, in milliseconds since 1970.

        Notes
        -----
        Alerts go on as they are where the policy still matches and still compares the same with the same operator;
        new thresholds and times count from the next sample on.
        """
        row = self._rules.row(policy.id)
        if not policy.enabled:
            return [] if row is None else self._take_out(row, POLICY_DISABLED, at_ms)
        if row is not None and _compared(self._rules.policy(row)) == _compared(policy):
            return self._edit(row, policy, at_ms)
        ended = [] if row is None else self._take_out(row, POLICY_CHANGED, at_ms)
        row, selector = self._bring_in(policy)
        for number, name in self._series.of_source(selector.source):
            if selector.matches(name):
                self._bind(number, row)
        return ended

    def delete_policy(self, policy_id: str, *, at_ms: int) -> list[AlertEvent]:
        """Take a policy out, if it is there; return the events of the alerts that end by that."""
        row = self._rules.row(policy_id)
        return [] if row is None else self._take_out(row, POLICY_DELETED, at_ms)

    def _edit(self, row: int, policy: TriggerPolicy, at_ms: int) -> list[AlertEvent]:
        before, selector = self._rules.policy(row), Selector(policy)
        self._rules.put(policy)
        self._index.put(selector)
        if (before.where, before.targets) == (policy.where, policy.targets):
            return []
        bound = {int(self._table.alerts.series[alert]): alert for alert in self._table.of(row)}
        parted: list[int] = []
        for number, name in self._series.of_source(selector.source):
            wanted = selector.matches(name)
            if number in bound and not wanted:
                parted.append(bound[number])
            elif wanted and number not in bound:
                self._bind(number, row)
        return self._unbind(parted, POLICY_CHANGED, at_ms)

    def _bring_in(self, policy: TriggerPolicy) -> tuple[int, Selector]:
        """Add a policy that is not there; return its row, and its selector."""
        selector = Selector(policy)
        self._index.put(selector)
        self._sources[selector.source] += 1
        return self._rules.put(policy), selector

    def _take_out(self, row: int, reason: int, at_ms: int) -> list[AlertEvent]:
        events = self._unbind(self._table.of(row), reason, at_ms)
        policy = self._rules.policy(row)
        self._index.drop(policy.id)
        self._sources[source_of(policy)] -= 1
        self._rules.drop(row)
        return events

    def _bind(self, number: int, row: int) -> None:
        self._table.bind(number, row, self._rules.policy(row).id, self._series.text(number))

    def _unbind(self, bound: list[int], reason: int, at_ms: int) -> list[AlertEvent]:
        """Drop alerts; return the events of those that were not OK."""
        events: list[AlertEvent] = []
        for alert in bound:
            if self._table.alerts.state[alert] != OK:
                resolve(alert, reason, at_ms, self._table.alerts, self._events)
                events.extend(self._records())
            self._table.drop(alert)
        return events

    def series(self, name: TriggerSeries) -> int:
        """Return the number of a series, a new one to a new series: the policies that match are found then."""
        number, is_new = self._series.add(name)
        if is_new:
            self._table.add_series(number)
            for policy_id in self._index.matching(name):
                row = self._rules.row(policy_id)
                if row is not None:
                    self._bind(number, row)
        return number

    def is_matched(self, number: int) -> bool:
        """Return whether any policy is about a series now."""
        return bool(self._table.first[number] != NONE)

    def forget(self, before_ms: int) -> list[int]:
        """Forget the series that have sent nothing since, none of whose alerts is open; return their numbers.

        A series whose silence is yet to be noticed is kept. A number that was given is free for another series: the
        caller must not use it any more.
        """
        gone = []
        for number in self._series.unseen_since(before_ms):
            alerts = list(self._table.on(number))
            if not any(self._is_needed(alert) for alert in alerts):
                for alert in alerts:
                    self._table.drop(alert)
                self._series.drop(number)
                gone.append(number)
        return gone

    def _is_needed(self, alert: int) -> bool:
        """Return whether an alert is open, or its series' silence is yet to be noticed."""
        alerts = self._table.alerts
        is_watched = self._rules.rules.silence_ms[alerts.policy[alert]] > 0 and alerts.last_ms[alert] != NEVER
        return bool(alerts.state[alert] not in {OK, PENDING} or is_watched)

    def evaluate(
        self, series: Array, time_ms: Array, values: Array, offsets: Array, start_ms: Array | None = None
    ) -> list[AlertEvent]:
        """Evaluate samples in their order; return the events that they lead to.

        Parameters
        ----------
        series : int64[n]
            Numbers that `series` returned; below 0 for samples that are not to be looked at.
        time_ms : int64[n]
            Event times, in milliseconds since 1970; of windows their ends.
        values : float64[n]
            What is compared; not finite for none.
        offsets : int64[n]
            Of the samples' records.
        start_ms : int64[n], optional
            Of windows their starts.

        Raises
        ------
        ValueError
            If the lengths differ, or there is no such series.
        """
        columns = (
            np.ascontiguousarray(series, np.int64),
            np.ascontiguousarray(time_ms, np.int64),
            np.ascontiguousarray(values, np.float64),
            np.ascontiguousarray(offsets, np.int64),
        )
        lengths = {len(column) for column in columns} | ({len(start_ms)} if start_ms is not None else set())
        if len(lengths) > 1:
            raise ValueError(f"series, time_ms, values and offsets must be of one length, got {sorted(lengths)}")
        if len(columns[0]) and int(columns[0].max()) >= self._series.end:
            raise ValueError(f"series must be below {self._series.end}, got {columns[0].max()}")
        found: list[AlertEvent] = []
        table = self._table
        self._events.counts[AT_SAMPLE], self._events.counts[AT_ALERT] = 0, NONE
        done = False
        while not done:
            done = evaluate(*columns, table.first, self._series.seen_ms, self._rules.rules, table.alerts, self._events)
            found.extend(self._records(start_ms))
        return found

    def expire(self, until_ms: int) -> list[AlertEvent]:
        """Let series be silent whose time is over; return the events of that, by time.

        Parameters
        ----------
        until_ms
            Up to when everything that was sent is known, in milliseconds since 1970. It decides only whether the
            silence is noticed now: its time is that of the last sample and the policy's ``silence_after``.
        """
        found: list[AlertEvent] = []
        table = self._table
        self._events.counts[AT_ALERT] = 0
        done = False
        while not done:
            done = expire(until_ms, self._rules.rules, table.alerts, table.used, self._events)
            found.extend(self._records())
        return sorted(found, key=lambda event: (event.time_ms, event.policy, event.alert_id))

    def snapshot(self) -> TriggerState:
        """Return a copy of policies and alerts."""
        return snapshot_of(self._rules, self._series, self._table)

    @classmethod
    def restore(cls, state: TriggerState, partition: int | None = None) -> Self:
        """Return an evaluator that goes on from a snapshot.

        Its policies are those of then: `put_policy` and `delete_policy` bring what has changed since.

        Parameters
        ----------
        state
            What :meth:`snapshot` returned.
        partition : int, optional
            What events say of where their evidence lies; none for files.

        Raises
        ------
        ValueError
            If it is no such state.
        """
        saved = read_snapshot(state)
        restored = cls(partition)
        rows = [restored._bring_in(policy)[0] for policy in saved.policies]
        numbers = [restored.series(name) for name in saved.series]
        restored._series.seen_ms[numbers] = saved.seen_ms
        pairs = zip(saved.of_series, saved.policy, strict=True)
        alerts = [restored._table.find(numbers[series], rows[policy]) for series, policy in pairs]
        known = [place for place, alert in enumerate(alerts) if alert is not None]
        for name, column in saved.columns.items():
            getattr(restored._table.alerts, name)[[alerts[place] for place in known]] = column[known]
        return restored

    def _records(self, start_ms: Array | None = None) -> list[AlertEvent]:
        """Return the records of the events that wait, and take them out."""
        events, records = self._events, []
        origin = EventOrigin(self._partition, start_ms)
        for at in range(int(events.counts[EVENTS])):
            alert = int(events.alert[at])
            row = int(self._table.alerts.policy[alert])
            name = self._series.name(int(self._table.alerts.series[alert]))
            policy, version = self._rules.policy(row), self._rules.version(row)
            records.append(alert_event(events, at, policy, version, name, self._table.id(alert), origin))
        self._evaluations += int(events.counts[EVALUATIONS])
        self._late += int(events.counts[LATE])
        events.counts[EVENTS] = events.counts[EVALUATIONS] = events.counts[LATE] = 0
        return records


def _compared(policy: TriggerPolicy) -> tuple[str, bool, str]:
    """Return what an alert's state is about: it means nothing under another."""
    return source_of(policy), policy.on == "silence", policy.compare

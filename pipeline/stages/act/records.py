"""The records of ``actions``: one attempt of one step, or why there was none."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.core.actions.decisions import ActionRules, Item, Notification, ScriptRun, Skip
from schemas.action import LONGEST_MESSAGE, MOST_ALERTS, Action, ActionReason, AlertReference, Outcome

__all__ = ["Attempt", "notification_record", "now_ms", "script_run_record", "skip_record"]

Target = Literal["channel", "script"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of an attempt, or why there was none.

    Parameters
    ----------
    outcome, reason
        What, and why.
    time_ms
        When it began.
    message
        The same for a reader.
    number
        Which attempt it was, from 1; 0: nothing was tried.
    retry
        Whether it will be tried again.
    duration_ms
        How long it took.
    output
        What a script wrote.
    """

    outcome: Outcome
    reason: ActionReason
    time_ms: int
    message: str = ""
    number: int = 0
    retry: bool = False
    duration_ms: int = 0
    output: str | None = None


def notification_record(notification: Notification, attempt: Attempt) -> Action:
    """Return the record of an attempt to send a notification."""
    return _record(notification.key, notification.items, notification.channel, "channel", attempt)


def script_run_record(run: ScriptRun, attempt: Attempt) -> Action:
    """Return the record of an attempt to run a script."""
    return _record(run.key, (run.item,), run.script, "script", attempt)


def skip_record(skip: Skip, rules: ActionRules, now_ms: int) -> Action:
    """Return the record of what is due and not done."""
    reason = skip.item.reason
    attempt = Attempt(skip.outcome, reason, now_ms, f"{reason.value.lower()} by {skip.by}")
    kind: Target = "script" if _is_script(skip, rules) else "channel"
    return _record(skip.item.key, (skip.item,), skip.target or None, kind, attempt)


def now_ms() -> int:
    """Return the clock's milliseconds since 1970-01-01T00:00:00Z."""
    return time.time_ns() // 1_000_000


def _is_script(skip: Skip, rules: ActionRules) -> bool:
    item = skip.item
    scenario = rules.scenarios.get(item.scenario or "")
    if scenario is None or item.step is None or item.event.level is None:
        return False
    steps = scenario.levels.of(item.event.level)
    return item.step < len(steps) and steps[item.step].run == skip.target


def _record(key: str, items: Sequence[Item], target: str | None, kind: Target, attempt: Attempt) -> Action:
    first = items[0]
    return Action(
        key=key,
        attempt=attempt.number,
        resource=first.event.resource,
        ns_id=first.event.tags.get("ns_id"),
        alerts=tuple(
            AlertReference(
                alert_id=item.event.alert_id,
                event_id=item.event.id,
                policy=item.event.policy,
                level=item.event.level,
            )
            for item in items[:MOST_ALERTS]
        ),
        scenario=first.scenario,
        level=first.event.level,
        step=first.step,
        channel=target if kind == "channel" else None,
        script=target if kind == "script" else None,
        outcome=attempt.outcome,
        reason=attempt.reason,
        retry=attempt.retry,
        time_ms=attempt.time_ms,
        duration_ms=attempt.duration_ms,
        message=attempt.message[:LONGEST_MESSAGE],
        output=attempt.output,
    )

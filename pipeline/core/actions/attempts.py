"""Whether a notification or a run of a script is begun when its turn comes, what came of it, and how long to wait."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from pipeline.core.actions.decisions import ScriptRun
from pipeline.core.actions.script_guards import ScriptGuards
from schemas.action import ActionReason, Outcome
from schemas.channel import Channel
from schemas.script import Approval, Script

__all__ = ["Result", "Turn", "is_too_old", "notification_result", "pause_s", "script_outcome", "script_result"]

_LONGER_EACH: Final = 3
_MOST_STEPS: Final = 10


class Result(NamedTuple):
    """What becomes of something that is not begun."""

    outcome: Outcome
    """`Outcome.AWAITING_APPROVAL`: its turn comes again."""
    reason: ActionReason
    text: str
    """The same for a reader."""


class Turn(NamedTuple):
    """When something was decided, and when its turn has come: milliseconds since 1970."""

    decided_ms: int
    now_ms: int


def is_too_old(turn: Turn, within_ms: int) -> bool:
    """Return whether more time has passed than may.

    Examples
    --------
    >>> is_too_old(Turn(0, 1000), 1000), is_too_old(Turn(0, 1001), 1000)
    (False, True)
    """
    return turn.now_ms - turn.decided_ms > within_ms


def notification_result(name: str, channel: Channel | None, turn: Turn, within_ms: int) -> Result | None:
    """Return why a notification is not sent now; None if it is.

    Parameters
    ----------
    name, channel
        The channel that it is for; None if there is no such one.
    turn
        When it was decided, and now.
    within_ms
        How long it may wait.

    Examples
    --------
    >>> notification_result("mail", None, Turn(0, 0), 1000).text
    'there is no channel mail'
    """
    if channel is None:
        return Result(Outcome.FAILED, ActionReason.UNKNOWN, f"there is no channel {name}")
    if not channel.enabled:
        return Result(Outcome.SKIPPED, ActionReason.DISABLED, f"channel {name} is disabled")
    if is_too_old(turn, within_ms):
        return Result(Outcome.FAILED, ActionReason.TIMEOUT, "it has waited longer than act.notify_within_s")
    return None


def script_result(
    script: Script,
    run: ScriptRun,
    turn: Turn,
    *,
    arguments: Sequence[str],
    is_open: bool,
    approval: Approval | None,
    approve_within_ms: int,
    guards: ScriptGuards,
) -> Result | None:
    """Return why a script is not run now; None if it is.

    Parameters
    ----------
    script, run
        What is to be run, and for which alert.
    turn
        When it was decided, and now.
    arguments
        What the script would get.
    is_open
        Whether its alert still is.
    approval
        What somebody has decided, if anybody has.
    approve_within_ms
        How long it waits for that.
    guards
        Which scripts were run lately.
    """
    if not script.enabled:
        return Result(Outcome.SKIPPED, ActionReason.DISABLED, f"script {script.id} is disabled")
    if not is_open:
        return Result(Outcome.SKIPPED, ActionReason.SUPERSEDED, "the alert was over before")
    if script.dry_run:
        return Result(Outcome.DRY_RUN, run.item.reason, f"would run {script.file} with {list(arguments)}")
    if script.approval and (approval is None or not approval.approved):
        return _unapproved(run, approval, is_late=is_too_old(turn, approve_within_ms))
    guard = guards.refusal(script, run.item.event.resource, turn.now_ms)
    if guard is None:
        return None
    limit = script.rate if guard is ActionReason.RATE else script.blast_radius
    return Result(Outcome.RATE_LIMITED, guard, f"{limit.count} in {limit.within} are allowed")


def _unapproved(run: ScriptRun, approval: Approval | None, *, is_late: bool) -> Result:
    if approval is not None:
        by = f" by {approval.author}" if approval.author else ""
        return Result(Outcome.DENIED, ActionReason.APPROVAL, f"was refused{by}")
    if is_late:
        return Result(Outcome.DENIED, ActionReason.APPROVAL, "nobody approved within act.approve_within_s")
    return Result(Outcome.AWAITING_APPROVAL, ActionReason.APPROVAL, f"waits for the approval {run.key}")


def script_outcome(status: int | None, reason: ActionReason, timeout: timedelta) -> Result:
    """Return what came of a script that was run.

    Parameters
    ----------
    status
        What it ended with: negative for a signal, None when it was killed for its time.
    reason
        Why it was run.
    timeout
        Its time.

    Examples
    --------
    >>> script_outcome(-9, ActionReason.DUE, timedelta(seconds=5)).text
    'ended with signal 9'
    """
    if status == 0:
        return Result(Outcome.RAN, reason, "")
    if status is None:
        return Result(Outcome.FAILED, ActionReason.TIMEOUT, f"was killed after {timeout.total_seconds():g} s")
    how = f"status {status}" if status > 0 else f"signal {-status}"
    return Result(Outcome.FAILED, ActionReason.EXIT_STATUS, f"ended with {how}")


def pause_s(failures: int, *, first_s: float, longest_s: float) -> float:
    """Return how many seconds to wait after so many failures one after the other: each time three times as long.

    Examples
    --------
    >>> [pause_s(failures, first_s=5.0, longest_s=300.0) for failures in (0, 1, 2, 3, 9)]
    [0.0, 5.0, 15.0, 45.0, 300.0]
    """
    if not failures:
        return 0.0
    return min(first_s * float(_LONGER_EACH ** min(failures - 1, _MOST_STEPS)), longest_s)

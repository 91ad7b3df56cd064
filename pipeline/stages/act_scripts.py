"""Scripts run about alerts: each guarded, one run of a script at a time, with what came of it."""

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, NamedTuple, Protocol

from pipeline.channels.scripts import ScriptCancelled, ScriptRefused, ScriptResult, arguments_of, environment_of
from pipeline.core.actions import Run
from pipeline.core.script_guards import ScriptGuards
from pipeline.stages.act_lane import Lane
from pipeline.stages.act_records import Attempt, now_ms
from schemas.action import ActionReason, Outcome
from schemas.script import Approval, Script

__all__ = ["ScriptRunner", "ScriptRuns", "Scripts"]

MOST_WAITING: Final = 1000
GRACE_S: Final = 30.0
"""Beyond a script's own time-out: for its start and its end."""


class ScriptRunner(Protocol):
    """Runs scripts: beside the worker, or as Jobs. It blocks: it is called in a thread."""

    def run(
        self,
        name: str,
        arguments: list[str],
        environment: Mapping[str, str],
        timeout_s: float,
        is_cancelled: Callable[[], bool],
    ) -> ScriptResult:
        """Run a script to its end; raises ScriptRefused and ScriptCancelled."""
        ...


class Scripts(NamedTuple):
    """What is known of scripts now."""

    scripts: Mapping[str, Script]
    approvals: Mapping[str, Approval]


class ScriptRuns:
    """Runs scripts when their guards allow it.

    Parameters
    ----------
    runner
        Runs them; None where no folder of scripts is set.
    guards
        Which were run lately.
    scripts
        Gives scripts and approvals as they are now.
    is_open
        Tells whether an alert is still open.
    approve_within_ms
        How long a run waits for its approval.
    may_run
        Returns once the worker may run any: it may not while its lease is in doubt.
    on_attempt, on_finished
        Told of each attempt, and of each run that nothing more is done about.
    on_failure
        Told of a bug.
    """

    def __init__(
        self,
        runner: ScriptRunner | None,
        guards: ScriptGuards,
        scripts: Callable[[], Scripts],
        *,
        is_open: Callable[[str], bool],
        approve_within_ms: int,
        may_run: Callable[[], Awaitable[None]],
        on_attempt: Callable[[Run, Attempt], None],
        on_finished: Callable[[str], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._runner = runner
        self._guards = guards
        self._scripts = scripts
        self._is_open = is_open
        self._approve_within_ms = approve_within_ms
        self._may_run = may_run
        self._on_attempt = on_attempt
        self._on_finished = on_finished
        self._on_failure = on_failure
        self._lanes: dict[str, Lane[Run]] = {}
        self._waiting: dict[str, tuple[int, Run]] = {}
        self._is_closed = False

    def run(self, run: Run, decided_ms: int) -> None:
        """Run a script when its turn comes, and it is approved of where it must be."""
        script = self._scripts().scripts.get(run.script)
        if script is None:
            self._end(run, Outcome.FAILED, ActionReason.UNKNOWN, f"there is no script {run.script}")
        elif not script.enabled:
            self._end(run, Outcome.SUPPRESSED, ActionReason.DISABLED, f"script {run.script} is disabled")
        elif script.dry_run:
            arguments = arguments_of(script.arguments, run.item.event)
            self._end(run, Outcome.DRY_RUN, run.item.reason, f"would run {script.file} with {arguments}")
        elif script.approval:
            self._waiting[run.item.key] = (decided_ms, run)
            if not self._is_decided(run, decided_ms):
                text = f"waits for the approval {run.item.key}"
                waits = Attempt(Outcome.AWAITING_APPROVAL, ActionReason.APPROVAL, now_ms(), text)
                self._on_attempt(run, waits)
        else:
            self._put(run)

    def look_at_approvals(self) -> None:
        """Go on with the runs that were decided on, or have waited too long."""
        for decided_ms, run in list(self._waiting.values()):
            self._is_decided(run, decided_ms)

    async def close(self) -> None:
        """Kill what runs, and give up what waits: it stays undone, for the next owner."""
        self._is_closed = True
        for lane in self._lanes.values():
            await lane.close()
        self._lanes = {}
        self._waiting = {}

    def _is_decided(self, run: Run, decided_ms: int) -> bool:
        """Go on with a run that waits, if there is a decision; return whether there is one."""
        key = run.item.key
        approval = self._scripts().approvals.get(key)
        if not self._is_open(run.item.event.alert_id):
            self._end(run, Outcome.SUPPRESSED, ActionReason.SUPERSEDED, "the alert was over before an approval")
        elif approval is not None and approval.approved:
            self._put(run)
        elif approval is not None:
            by = f" by {approval.author}" if approval.author else ""
            self._end(run, Outcome.DENIED, ActionReason.APPROVAL, f"was refused{by}")
        elif now_ms() - decided_ms > self._approve_within_ms:
            self._end(run, Outcome.DENIED, ActionReason.APPROVAL, "nobody approved within act.approve_within_s")
        else:
            return False
        self._waiting.pop(key, None)
        return True

    def _put(self, run: Run) -> None:
        lane = self._lanes.get(run.script)
        if lane is None:
            lane = Lane(run.script, partial(self._do, run.script), MOST_WAITING, self._on_failure)
            self._lanes[run.script] = lane
        if not lane.put(run):
            text = f"{MOST_WAITING} runs of the script wait already"
            self._end(run, Outcome.RATE_LIMITED, ActionReason.RATE, text)

    async def _do(self, name: str, run: Run) -> None:
        await self._may_run()
        script = self._scripts().scripts.get(name)
        event = run.item.event
        if script is None or not script.enabled:
            self._end(run, Outcome.SUPPRESSED, ActionReason.DISABLED, f"script {name} is disabled")
            return
        if not self._is_open(event.alert_id):
            self._end(run, Outcome.SUPPRESSED, ActionReason.SUPERSEDED, "the alert was over before")
            return
        guard = self._guards.verdict(script, event.resource, now_ms())
        if guard is not None:
            limit = script.rate if guard is ActionReason.RATE else script.blast_radius
            text = f"{limit.count} in {limit.within} are allowed"
            self._end(run, Outcome.RATE_LIMITED, guard, text)
            return
        self._guards.note(script, event.resource, now_ms())
        await self._run(self._lanes[name], run, script)

    async def _run(self, lane: Lane[Run], run: Run, script: Script) -> None:
        begun_ms, begun_s = now_ms(), time.monotonic()
        runner = self._runner
        if runner is None:
            self._end(run, Outcome.FAILED, ActionReason.CONFIGURATION, "act.scripts_dir is not set")
            return
        arguments = arguments_of(script.arguments, run.item.event)
        environment = environment_of(run.item.event, run.item.key)
        timeout_s = script.timeout.total_seconds()

        def call() -> ScriptResult:
            return runner.run(script.file, arguments, environment, timeout_s, lambda: self._is_closed)

        try:
            outcome, reason, text, output = _outcome(await lane.calls.call(call, timeout_s + GRACE_S), run, timeout_s)
        except ScriptCancelled:
            return  # the next owner runs it again
        except ScriptRefused as error:
            outcome, reason, text, output = Outcome.FAILED, ActionReason.CONFIGURATION, str(error), None
        except TimeoutError:
            outcome, reason, text, output = Outcome.FAILED, ActionReason.TIMEOUT, "it could not be ended", None
        duration_ms = round(1000 * (time.monotonic() - begun_s))
        attempt = Attempt(outcome, reason, begun_ms, text, number=1, duration_ms=duration_ms, output=output)
        self._on_attempt(run, attempt)
        self._on_finished(run.item.key)

    def _end(self, run: Run, outcome: Outcome, reason: ActionReason, text: str) -> None:
        self._on_attempt(run, Attempt(outcome, reason, now_ms(), text))
        self._on_finished(run.item.key)


def _outcome(result: ScriptResult, run: Run, timeout_s: float) -> tuple[Outcome, ActionReason, str, str]:
    if result.status == 0:
        return Outcome.RAN, run.item.reason, "", result.output
    if result.status is None:
        return Outcome.FAILED, ActionReason.TIMEOUT, f"was killed after {timeout_s:g} s", result.output
    how = f"status {result.status}" if result.status > 0 else f"signal {-result.status}"
    return Outcome.FAILED, ActionReason.EXIT_STATUS, f"ended with {how}", result.output

"""Scripts run about alerts: each guarded, one run of a script at a time, with what came of it."""

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, NamedTuple, Protocol

from pipeline.channels.script_jobs import JobTemplate, KubernetesApi, ScriptJobs
from pipeline.channels.scripts import (
    ScriptCancelled,
    ScriptFolder,
    ScriptRefused,
    ScriptResult,
    arguments_of,
    environment_of,
)
from pipeline.core.actions.attempts import Result, Turn, is_too_old, script_outcome, script_result
from pipeline.core.actions.decisions import ScriptRun
from pipeline.core.actions.script_guards import ScriptGuards
from pipeline.stages.act.records import Attempt, now_ms
from pipeline.stages.act.settings import ActSettings
from pipeline.stages.act.work_queue import WorkQueue, known
from schemas.action import ActionReason, Outcome
from schemas.script import Approval, Script

__all__ = ["ScriptQueues", "ScriptRunner", "Scripts"]

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


class ScriptQueues:
    """Runs scripts when their guards allow it.

    Parameters
    ----------
    act
        The settings: where scripts are and run, and how long a run waits for its approval.
    guards
        Which were run lately.
    scripts
        Returns scripts and approvals as they are now.
    is_open
        Returns whether an alert is still open.
    may_run
        Returns once the worker may run any: it may not while its lease is in doubt.
    on_attempt, on_finished
        Called with each attempt, and with the key of each run that nothing more is done about.
    on_failure
        Called with the error of a bug.
    """

    def __init__(
        self,
        act: ActSettings,
        guards: ScriptGuards,
        scripts: Callable[[], Scripts],
        *,
        is_open: Callable[[str], bool],
        may_run: Callable[[], Awaitable[None]],
        on_attempt: Callable[[ScriptRun, Attempt], None],
        on_finished: Callable[[str], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._runner = _script_runner(act)
        self._guards = guards
        self._scripts = scripts
        self._is_open = is_open
        self._approve_within_ms = act.approve_within_ms
        self._may_run = may_run
        self._on_attempt = on_attempt
        self._on_finished = on_finished
        self._on_failure = on_failure
        self._queues: dict[str, WorkQueue[tuple[int, ScriptRun]]] = {}
        self._waiting: dict[str, tuple[int, ScriptRun]] = {}
        self._is_closed = False

    def run(self, run: ScriptRun, decided_ms: int) -> None:
        """Run a script when its turn comes, and it is approved of where it must be."""
        queue = self._queues.get(run.script)
        if queue is None:
            queue = WorkQueue(run.script, partial(self._do, run.script), MOST_WAITING, self._on_failure)
            self._queues[run.script] = queue
        if not queue.put((decided_ms, run)):
            text = f"{MOST_WAITING} runs of the script wait already"
            self._end(run, Result(Outcome.RATE_LIMITED, ActionReason.RATE, text))

    def look_at_approvals(self) -> None:
        """Go on with the runs that were decided on, are not needed any more, or have waited too long."""
        approvals = self._scripts().approvals
        for key, (decided_ms, run) in list(self._waiting.items()):
            is_over = not self._is_open(run.item.event.alert_id)
            if key in approvals or is_over or is_too_old(Turn(decided_ms, now_ms()), self._approve_within_ms):
                del self._waiting[key]
                self.run(run, decided_ms)

    async def close(self) -> None:
        """Kill what runs, and release what waits: it stays undone, for the next owner."""
        self._is_closed = True
        for queue in self._queues.values():
            await queue.close()
        self._queues = {}
        self._waiting = {}

    async def _do(self, name: str, waiting: tuple[int, ScriptRun]) -> None:
        decided_ms, run = waiting
        await self._may_run()
        script = await known(lambda: self._scripts().scripts, name, decided_ms)
        if script is None:
            self._end(run, Result(Outcome.FAILED, ActionReason.UNKNOWN, f"there is no script {name}"))
            return
        event, turn = run.item.event, Turn(decided_ms, now_ms())
        result = script_result(
            script,
            run,
            turn,
            arguments=arguments_of(script.arguments, event),
            is_open=self._is_open(event.alert_id),
            approval=self._scripts().approvals.get(run.key),
            approve_within_ms=self._approve_within_ms,
            guards=self._guards,
        )
        if result is None:
            self._guards.note(script, event.resource, turn.now_ms)
            await self._run(self._queues[name], run, script)
        elif result.outcome is Outcome.AWAITING_APPROVAL:
            self._waiting[run.key] = waiting
            self._on_attempt(run, Attempt(result.outcome, result.reason, turn.now_ms, result.text))
        else:
            self._end(run, result)

    async def _run(self, queue: WorkQueue[tuple[int, ScriptRun]], run: ScriptRun, script: Script) -> None:
        begun_ms, begun_s = now_ms(), time.monotonic()
        runner = self._runner
        if runner is None:
            self._end(run, Result(Outcome.FAILED, ActionReason.CONFIGURATION, "act.scripts_dir is not set"))
            return
        arguments = arguments_of(script.arguments, run.item.event)
        environment = environment_of(run.item.event, run.key)
        timeout_s = script.timeout.total_seconds()

        def call() -> ScriptResult:
            return runner.run(script.file, arguments, environment, timeout_s, lambda: self._is_closed)

        output = None
        try:
            ended = await queue.calls.call(call, timeout_s + GRACE_S)
            output = ended.output
            outcome, reason, text = script_outcome(ended.status, run.item.reason, script.timeout)
        except ScriptCancelled:
            return  # the next owner runs it again
        except ScriptRefused as error:
            outcome, reason, text = Outcome.FAILED, ActionReason.CONFIGURATION, str(error)
        except TimeoutError:
            outcome, reason, text = Outcome.FAILED, ActionReason.TIMEOUT, "it could not be ended"
        duration_ms = round(1000 * (time.monotonic() - begun_s))
        attempt = Attempt(outcome, reason, begun_ms, text, number=1, duration_ms=duration_ms, output=output)
        self._on_attempt(run, attempt)
        self._on_finished(run.key)

    def _end(self, run: ScriptRun, result: Result) -> None:
        outcome, reason, text = result
        self._on_attempt(run, Attempt(outcome, reason, now_ms(), text))
        self._on_finished(run.key)


def _script_runner(act: ActSettings) -> ScriptRunner | None:
    """Return what runs scripts; None where no script may be run."""
    if act.scripts_in == "kubernetes" and act.job_image is not None:
        template = JobTemplate(
            namespace=act.job_namespace,
            image=act.job_image,
            folder=act.job_folder,
            service_account=act.job_service_account,
            cpu=act.job_cpu,
            memory=act.job_memory,
            keep_s=act.job_keep_s,
        )
        return ScriptJobs(template, KubernetesApi())
    return None if act.scripts_dir is None else ScriptFolder(act.scripts_dir, act.scripts_user)

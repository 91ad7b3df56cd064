"""How often a script may be run, and for how many resources."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final, NamedTuple

from schemas.action import ActionReason
from schemas.script import Limit, Script

__all__ = ["PastScriptRun", "ScriptGuards"]

_MILLISECOND: Final = timedelta(milliseconds=1)


class PastScriptRun(NamedTuple):
    """A run of a script that was begun."""

    script: str
    resource: str
    time_ms: int


class ScriptGuards:
    """Knows the runs of scripts, as far back as their limits look.

    Parameters
    ----------
    runs
        Those that are known, after a restart.
    """

    def __init__(self, runs: Iterable[PastScriptRun] = ()) -> None:
        self._runs: dict[str, list[PastScriptRun]] = {}
        for run in runs:
            self._runs.setdefault(run.script, []).append(run)

    @property
    def runs(self) -> list[PastScriptRun]:
        """All runs that are known, by script."""
        return [run for runs in self._runs.values() for run in runs]

    def refusal(self, script: Script, resource: str, now_ms: int) -> ActionReason | None:
        """Return the guard that keeps a script from being run for a resource now; None if it may be.

        Parameters
        ----------
        script
            The script, with its guards.
        resource
            Whose alert it is to be run for.
        now_ms
            The clock, in milliseconds since 1970.

        Examples
        --------
        >>> script = Script.model_validate(
        ...     {"id": "restart", "file": "restart.sh", "blast_radius": {"count": 1, "within": "10m"}}
        ... )
        >>> guards = ScriptGuards([PastScriptRun("restart", "web-1", 0)])
        >>> guards.refusal(script, "web-1", 599_999), guards.refusal(script, "web-2", 599_999)
        (None, <ActionReason.BLAST_RADIUS: 'BLAST_RADIUS'>)
        >>> guards.refusal(script, "web-2", 600_000)
        """
        runs = self._runs.get(script.id, [])
        if len(_within(runs, script.rate, now_ms)) >= script.rate.count:
            return ActionReason.RATE
        others = {run.resource for run in _within(runs, script.blast_radius, now_ms)} - {resource}
        if len(others) >= script.blast_radius.count:
            return ActionReason.BLAST_RADIUS
        return None

    def note(self, script: Script, resource: str, now_ms: int) -> None:
        """Note a run, and forget those that no limit looks at any more."""
        longest = max(script.rate, script.blast_radius, key=lambda limit: limit.within)
        kept = _within(self._runs.get(script.id, []), longest, now_ms)
        self._runs[script.id] = [*kept, PastScriptRun(script.id, resource, now_ms)]


def _within(runs: Iterable[PastScriptRun], limit: Limit, now_ms: int) -> list[PastScriptRun]:
    since_ms = now_ms - limit.within // _MILLISECOND
    return [run for run in runs if run.time_ms > since_ms]

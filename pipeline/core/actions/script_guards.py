"""How often a script may be run, and for how many resources."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final, NamedTuple

from schemas.action import ActionReason
from schemas.script import Limit, Script

__all__ = ["PastRun", "ScriptGuards"]

_MILLISECOND: Final = timedelta(milliseconds=1)


class PastRun(NamedTuple):
    """A run of a script."""

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

    def __init__(self, runs: Iterable[PastRun] = ()) -> None:
        self._runs: dict[str, list[PastRun]] = {}
        for run in runs:
            self._runs.setdefault(run.script, []).append(run)

    @property
    def runs(self) -> list[PastRun]:
        """All runs that are known, by script."""
        return [run for runs in self._runs.values() for run in runs]

    def verdict(self, script: Script, resource: str, now_ms: int) -> ActionReason | None:
        """Give the guard that keeps a script from being run for a resource now; None if it may be.

        Examples
        --------
        >>> script = Script.model_validate(
        ...     {"id": "restart", "file": "restart.sh", "blast_radius": {"count": 1, "within": "10m"}}
        ... )
        >>> guards = ScriptGuards([PastRun("restart", "web-1", 0)])
        >>> guards.verdict(script, "web-1", 599_999), guards.verdict(script, "web-2", 599_999)
        (None, <ActionReason.BLAST_RADIUS: 'BLAST_RADIUS'>)
        >>> guards.verdict(script, "web-2", 600_000)
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
        self._runs[script.id] = [*kept, PastRun(script.id, resource, now_ms)]


def _within(runs: Iterable[PastRun], limit: Limit, now_ms: int) -> list[PastRun]:
    since_ms = now_ms - limit.within // _MILLISECOND
    return [run for run in runs if run.time_ms > since_ms]

"""What the stage act has decided and not finished, with all else that a restart needs, as JSON."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Final

from pydantic import AliasChoices, Field, TypeAdapter, ValidationError

from pipeline.core.actions.decisions import ActionPlanner, Notification, ScriptRun
from pipeline.core.actions.script_guards import PastScriptRun, ScriptGuards

__all__ = ["STATE_VERSION", "ActState", "ActStateError", "PendingActions"]

STATE_VERSION: Final = 1


class ActStateError(ValueError):
    """A saved state cannot be used."""


class PendingActions:
    """Notifications and runs of scripts from when they were decided until they are finished.

    One is begun only when it is saved: a crash may then repeat it, with the same key, and lose none.

    Parameters
    ----------
    notifications, script_runs
        Those that were saved, each with the time when it was decided.
    """

    def __init__(
        self,
        notifications: Iterable[tuple[int, Notification]] = (),
        script_runs: Iterable[tuple[int, ScriptRun]] = (),
    ) -> None:
        self._notifications = {each.key: (decided_ms, each) for decided_ms, each in notifications}
        self._script_runs = {each.key: (decided_ms, each) for decided_ms, each in script_runs}

    def __len__(self) -> int:
        return len(self._notifications) + len(self._script_runs)

    def __contains__(self, key: str) -> bool:
        return key in self._notifications or key in self._script_runs

    @property
    def notifications(self) -> list[tuple[int, Notification]]:
        """All notifications, each with the time when it was decided."""
        return list(self._notifications.values())

    @property
    def script_runs(self) -> list[tuple[int, ScriptRun]]:
        """All runs of scripts, each with the time when it was decided."""
        return list(self._script_runs.values())

    def add(self, decided: Notification | ScriptRun, now_ms: int) -> None:
        """Add what was decided now."""
        if isinstance(decided, Notification):
            self._notifications.setdefault(decided.key, (now_ms, decided))
        else:
            self._script_runs.setdefault(decided.key, (now_ms, decided))

    def finish(self, key: str) -> None:
        """Take out what is finished."""
        self._notifications.pop(key, None)
        self._script_runs.pop(key, None)


@dataclass(slots=True)
class ActState:
    """All that the stage knows.

    Attributes
    ----------
    actions : Actions
        What was decided about open alerts.
    pending : PendingActions
        What of it is not finished.
    guards : ScriptGuards
        Which scripts were run lately.
    next_offsets : dict of int to int
        Of each partition of ``alerts``, the first record that it does not know.
    log_id : str
        Of which log of ``alerts`` these are.
    saved_ms : int
        When it was saved.
    """

    actions: ActionPlanner = field(default_factory=ActionPlanner)
    pending: PendingActions = field(default_factory=PendingActions)
    guards: ScriptGuards = field(default_factory=ScriptGuards)
    next_offsets: dict[int, int] = field(default_factory=dict)
    log_id: str = ""
    saved_ms: int = 0

    def to_bytes(self, now_ms: int) -> bytes:
        """Return it as JSON, saved now."""
        return _SAVED.dump_json(
            _Saved(
                self.actions.to_bytes().decode(),
                self.pending.notifications,
                self.pending.script_runs,
                self.guards.runs,
                self.next_offsets,
                self.log_id,
                now_ms,
            )
        )

    @classmethod
    def from_bytes(cls, value: bytes) -> "ActState":
        """Return the state that was saved.

        Raises
        ------
        ActStateError
            If it is not what `to_bytes` returned.
        """
        try:
            saved = _SAVED.validate_json(value)
            actions = ActionPlanner.from_bytes(saved.actions.encode())
        except ValidationError as error:
            raise ActStateError(f"the saved state is not as it was written: {error.error_count()} mistakes") from error
        pending = PendingActions(saved.notifications, saved.script_runs)
        guards = ScriptGuards(saved.past_runs)
        return cls(actions, pending, guards, saved.next_offsets, saved.log_id, saved.saved_ms)


@dataclass(frozen=True, slots=True)
class _Saved:
    """What is saved; the second of two names is that of before 0.1.0."""

    actions: str
    notifications: Annotated[
        list[tuple[int, Notification]], Field(validation_alias=AliasChoices("notifications", "messages"))
    ]
    script_runs: Annotated[list[tuple[int, ScriptRun]], Field(validation_alias=AliasChoices("script_runs", "runs"))]
    past_runs: list[PastScriptRun]
    next_offsets: dict[int, int]
    log_id: str
    saved_ms: int


_SAVED: Final = TypeAdapter(_Saved)

"""What the stage act has decided and not finished, with all else that a restart needs, as JSON."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pydantic import TypeAdapter, ValidationError

from pipeline.core.actions.decisions import Actions, Message, Run
from pipeline.core.actions.script_guards import PastRun, ScriptGuards

__all__ = ["STATE_VERSION", "ActState", "ActStateError", "PendingActions"]

STATE_VERSION: Final = 1


class ActStateError(ValueError):
    """A saved state cannot be used."""


class PendingActions:
    """Messages and runs from when they were decided until they are finished.

    One is begun only when it is saved: a crash may then repeat it, with the same key, and lose none.

    Parameters
    ----------
    messages, runs
        Those that were saved, each with the time when it was decided.
    """

    def __init__(self, messages: Iterable[tuple[int, Message]] = (), runs: Iterable[tuple[int, Run]] = ()) -> None:
        self._messages = {message.key: (decided_ms, message) for decided_ms, message in messages}
        self._runs = {run.item.key: (decided_ms, run) for decided_ms, run in runs}

    def __len__(self) -> int:
        return len(self._messages) + len(self._runs)

    def __contains__(self, key: str) -> bool:
        return key in self._messages or key in self._runs

    @property
    def messages(self) -> list[tuple[int, Message]]:
        """All messages, each with the time when it was decided."""
        return list(self._messages.values())

    @property
    def runs(self) -> list[tuple[int, Run]]:
        """All runs, each with the time when it was decided."""
        return list(self._runs.values())

    def add(self, decided: Message | Run, now_ms: int) -> None:
        """Add what was decided now."""
        if isinstance(decided, Message):
            self._messages.setdefault(decided.key, (now_ms, decided))
        else:
            self._runs.setdefault(decided.item.key, (now_ms, decided))

    def finish(self, key: str) -> None:
        """Take out what is finished."""
        self._messages.pop(key, None)
        self._runs.pop(key, None)


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

    actions: Actions = field(default_factory=Actions)
    pending: PendingActions = field(default_factory=PendingActions)
    guards: ScriptGuards = field(default_factory=ScriptGuards)
    next_offsets: dict[int, int] = field(default_factory=dict)
    log_id: str = ""
    saved_ms: int = 0

    def to_bytes(self, now_ms: int) -> bytes:
        """Return it as JSON, saved now."""
        return _SAVED.dump_json(
            _Saved(
                self.actions.state().decode(),
                self.pending.messages,
                self.pending.runs,
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
            If it is none.
        """
        try:
            saved = _SAVED.validate_json(value)
            actions = Actions.restored(saved.actions.encode())
        except ValidationError as error:
            raise ActStateError(f"the saved state is not as it was written: {error.error_count()} mistakes") from error
        pending = PendingActions(saved.messages, saved.runs)
        guards = ScriptGuards(saved.past_runs)
        return cls(actions, pending, guards, saved.next_offsets, saved.log_id, saved.saved_ms)


@dataclass(frozen=True, slots=True)
class _Saved:
    actions: str
    messages: list[tuple[int, Message]]
    runs: list[tuple[int, Run]]
    past_runs: list[PastRun]
    next_offsets: dict[int, int]
    log_id: str
    saved_ms: int


_SAVED: Final = TypeAdapter(_Saved)

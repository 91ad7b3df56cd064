"""Policies as rows of rules that compiled code reads."""

from datetime import timedelta

import numpy as np

from pipeline.core.records.identity.interning import grown
from pipeline.core.triggers.records import policy_hash
from pipeline.core.triggers.state import COMPARISONS, Rules, new_rules
from schemas.severity import Severity
from schemas.trigger_policy import TriggerPolicy

__all__ = ["RuleTable"]

_MILLISECOND = timedelta(milliseconds=1)


class RuleTable:
    """The policies in force, a row each.

    Attributes
    ----------
    rules : Rules
        What they say, in columns.
    """

    def __init__(self) -> None:
        self.rules: Rules = new_rules()
        self._rows: dict[str, int] = {}
        self._policies: dict[int, TriggerPolicy] = {}
        self._versions: dict[int, str] = {}
        self._free: list[int] = []

    def row(self, policy_id: str) -> int | None:
        """Return the row of a policy, None if there is none."""
        return self._rows.get(policy_id)

    def policy(self, row: int) -> TriggerPolicy:
        """Return the policy of a row."""
        return self._policies[row]

    def version(self, row: int) -> str:
        """Return what tells the versions of a row's policy apart."""
        return self._versions[row]

    def all(self) -> list[TriggerPolicy]:
        """Return the policies by id."""
        return [self._policies[self._rows[policy_id]] for policy_id in sorted(self._rows)]

    def drop(self, row: int) -> None:
        """Take a policy out."""
        del self._rows[self._policies.pop(row).id], self._versions[row]
        self._free.append(row)

    def put(self, policy: TriggerPolicy) -> int:
        """Add a policy, or replace the one of its id; return its row."""
        row = self._rows.get(policy.id)
        if row is None:
            row = self._free.pop() if self._free else len(self._rows)
        self._rows[policy.id], self._policies[row], self._versions[row] = row, policy, policy_hash(policy)
        self.rules = rules = Rules(*(grown(column, row + 1) for column in self.rules))
        silence = policy.silence_after if policy.on == "silence" else None
        rules.silence_ms[row] = 0 if silence is None else silence // _MILLISECOND
        rules.severity[row] = Severity.of(policy.severity)
        rules.compare[row] = COMPARISONS[policy.compare]
        rules.fire[row], rules.reset[row] = np.nan, np.nan
        for name, level in policy.levels.given().items():
            column = Severity.of(name)
            rules.fire[row, column] = level.fire
            rules.reset[row, column] = np.nan if level.reset is None else level.reset
        rules.easiest[row] = next((level.fire for level in policy.levels.given().values()), np.nan)
        rules.pending_ms[row] = policy.pending // _MILLISECOND
        rules.keep_ms[row] = policy.keep_firing // _MILLISECOND
        rules.repeat_ms[row] = policy.repeat // _MILLISECOND
        rules.flap_history[row] = 0 if policy.flap is None else policy.flap.history
        rules.flap_low[row] = 0.0 if policy.flap is None else policy.flap.low
        rules.flap_high[row] = 1.0 if policy.flap is None else policy.flap.high
        return row

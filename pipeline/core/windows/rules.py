"""Which cycle a row has: rules that match on measurement and tags, the first that fits wins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.core.globs import glob_matches, tags_match
from pipeline.core.records.identity.interning import WindowRule
from pipeline.core.windows.closing import Lateness

_DEFAULT = WindowRule(every_ms=60_000, grace_ms=10_000, allowed_lateness_ms=60_000)


@dataclass(frozen=True, slots=True)
class MatchingRule:
    """A window rule and the rows it is for.

    Attributes
    ----------
    rule : WindowRule
        Cycle, grace and allowed lateness.
    measurement : str
        Glob (``*``, ``?``, ``[…]``) that the measurement must match.
    tags : mapping of str to str
        Glob that the value of each of these canonical tags must match; a row without the tag does not.
    """

    rule: WindowRule
    measurement: str = "*"
    tags: Mapping[str, str] = field(default_factory=dict)

    def matches(self, measurement: str, tags: Mapping[str, str]) -> bool:
        """Return whether a row is one this rule is for."""
        return glob_matches(self.measurement, measurement) and tags_match(self.tags.items(), tags)


@dataclass(frozen=True, slots=True)
class WindowRules:
    """All rules of a stage.

    Attributes
    ----------
    default : WindowRule
        For rows that no rule matches.
    idle_close_ms : int
        How long a resource must be silent, while its partition or the clock moves on, before its windows are closed
        without it.
    rules : sequence of MatchingRule
        In order of precedence.
    """

    default: WindowRule = _DEFAULT
    idle_close_ms: int = 10_000
    rules: Sequence[MatchingRule] = ()

    def rule_of(self, measurement: str, tags: Mapping[str, str]) -> WindowRule:
        """Return the rule of a row.

        Examples
        --------
        >>> fast = MatchingRule(WindowRule(10_000, 2_000, 10_000), measurement="cpu*", tags={"csp": "aws"})
        >>> rules = WindowRules(rules=[fast])
        >>> rules.rule_of("cpu", {"csp": "aws"}).every_ms, rules.rule_of("cpu", {}).every_ms
        (10000, 60000)
        """
        for candidate in self.rules:
            if candidate.matches(measurement, tags):
                return candidate.rule
        return self.default

    @property
    def lateness(self) -> Lateness:
        """The partition's times that follow from the rules.

        A resource is forgotten when nothing of its windows can matter any more: neither a late sample nor the window
        that directly follows its last one. One clock may lead all others by a cycle.
        """
        every = [self.default, *(candidate.rule for candidate in self.rules)]
        longest_ms = max(rule.every_ms for rule in every)
        allowed_lateness_ms = max(rule.allowed_lateness_ms for rule in every)
        return Lateness(
            grace_ms=self.default.grace_ms,
            idle_close_ms=self.idle_close_ms,
            forget_ms=self.idle_close_ms + allowed_lateness_ms + 2 * longest_ms,
            lead_ms=self.default.every_ms,
        )

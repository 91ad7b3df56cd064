"""Which policies match which series: asked once for each new series, and once for each new policy."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Final, NamedTuple

from pipeline.core.globs import SeriesSelector, glob_matches, is_literal
from schemas.trigger_policy import TriggerPolicy

__all__ = ["SAMPLES", "PolicyIndex", "Selector", "TriggerSeries", "source_of"]

SAMPLES: Final = "sample"
"""Where raw values come from; silence is judged by them too."""

_ANY: Final = ""
"""Stands for what a policy does not ask for literally; nothing is called so."""
_NO_TAG: Final = ("", "")
_Place = tuple[str, str, str, tuple[str, str]]
"""Source, measurement, field, and a tag with its value."""


class TriggerSeries(NamedTuple):
    """What is compared: where it comes from, and the series."""

    source: str
    """``sample``, ``window:avg`` and so on, or ``anomaly``."""
    measurement: str
    field: str
    tags: Mapping[str, str]
    """Canonical tags."""


def source_of(policy: TriggerPolicy) -> str:
    """Return where a policy's values come from.

    Examples
    --------
    >>> source_of(TriggerPolicy.model_validate({"id": "a", "on": "window", "levels": {"info": {"fire": 1}}}))
    'window:avg'
    """
    if policy.on == "window":
        return f"window:{policy.function or 'avg'}"
    return SAMPLES if policy.on == "silence" else policy.on


class Selector:
    """Decides which series a policy is about.

    Parameters
    ----------
    policy
        The policy.
    """

    def __init__(self, policy: TriggerPolicy) -> None:
        self.policy_id = policy.id
        self.source = source_of(policy)
        self._series = SeriesSelector(policy.where, policy.targets)

    def matches(self, name: TriggerSeries) -> bool:
        """Return whether the policy is about a series."""
        return self.source == name.source and self._series.matches(name.measurement, name.field, name.tags)

    def mismatch(self, name: TriggerSeries) -> str | None:
        """Return the first thing about a series that the policy does not match, for a reader; None if it matches."""
        if self.source != name.source:
            return f"on {self.source} is not {name.source}"
        series = self._series
        if not glob_matches(series.measurement, name.measurement):
            return f"where.measurement {series.measurement!r} does not match {name.measurement!r}"
        if not glob_matches(series.field, name.field):
            return f"where.field {series.field!r} does not match {name.field!r}"
        for key, glob in series.tags:
            if key not in name.tags:
                return f"where.tags.{key} {glob!r}: the series has no such tag"
            if not glob_matches(glob, name.tags[key]):
                return f"where.tags.{key} {glob!r} does not match {name.tags[key]!r}"
        return None if series.matches_tags(name.tags) else "none of its targets"

    def places(self) -> Iterator[list[_Place]]:
        """Yield where it may stand in an index: all series that it is about lead to one of the places of a choice."""
        series = self._series
        head = self.source, _literal(series.measurement), _literal(series.field)
        for key, glob in series.tags:
            if is_literal(glob):
                yield [(*head, (key, glob))]
        targets = [dict(target) for target in series.targets]
        for key in targets[0] if targets else ():
            globs = dict.fromkeys(target.get(key, "*") for target in targets)
            if all(is_literal(glob) for glob in globs):
                yield [(*head, (key, glob)) for glob in globs]
        yield [(*head, _NO_TAG)]


class PolicyIndex:
    """Policies by what they ask for literally, so that a series is compared with few of them.

    Notes
    -----
    Each policy stands under its measurement, its field, and the tag whose value the fewest others ask for.
    Ten thousand policies for one machine each are one comparison for a series, not ten thousand.
    """

    def __init__(self) -> None:
        self._places: dict[_Place, dict[str, Selector]] = {}
        self._places_of: dict[str, list[_Place]] = {}

    def put(self, selector: Selector) -> None:
        """Add a policy, or replace the one of its id."""
        self.drop(selector.policy_id)
        places = min(selector.places(), key=self._crowd)
        self._places_of[selector.policy_id] = places
        for place in places:
            self._places.setdefault(place, {})[selector.policy_id] = selector

    def drop(self, policy_id: str) -> None:
        """Take a policy out, if it is there."""
        for place in self._places_of.pop(policy_id, []):
            there = self._places[place]
            del there[policy_id]
            if not there:
                del self._places[place]

    def matching(self, name: TriggerSeries) -> list[str]:
        """Return the ids of the policies that match a series, sorted."""
        tags = (_NO_TAG, *name.tags.items())
        found: set[str] = set()
        for measurement, field, tag in product((name.measurement, _ANY), (name.field, _ANY), tags):
            there = self._places.get((name.source, measurement, field, tag), {})
            found.update(selector.policy_id for selector in there.values() if selector.matches(name))
        return sorted(found)

    def _crowd(self, places: list[_Place]) -> int:
        return max(len(self._places.get(place, ())) for place in places)


def _literal(glob: str) -> str:
    return glob if is_literal(glob) else _ANY

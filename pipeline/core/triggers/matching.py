"""Which policies match which series: asked once for each new series, and once for each new policy."""

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import translate
from functools import lru_cache
from itertools import product
from typing import Final, NamedTuple

from schemas.selection import Target
from schemas.trigger_policy import TriggerPolicy

__all__ = ["SAMPLES", "PolicyIndex", "Selector", "SeriesName", "source_of"]

SAMPLES: Final = "sample"
"""Where raw values come from; silence is judged by them too."""

_WILD: Final = re.compile(r"[*?\[]")
_ANY: Final = ""
"""Stands for what a policy does not ask for literally; nothing is called so."""
_NO_TAG: Final = ("", "")
_Place = tuple[str, str, str, tuple[str, str]]
"""Source, measurement, field, and a tag with its value."""
_Globs = tuple[tuple[str, str], ...]


class SeriesName(NamedTuple):
    """What is compared: where it comes from, and the series."""

    source: str
    """``sample``, ``window:avg`` and so on, ``anomaly`` or ``forecast``."""
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
        where = policy.where
        self.policy_id = policy.id
        self.source = source_of(policy)
        self._measurement, self._field = where.measurement, where.field
        self._tags: _Globs = tuple(where.tags.items())
        self._targets = tuple(_asked(target) for target in policy.targets)

    def matches(self, name: SeriesName) -> bool:
        """Return whether the policy is about a series."""
        return (
            self.source == name.source
            and _fits(name.measurement, self._measurement)
            and _fits(name.field, self._field)
            and _all_fit(self._tags, name.tags)
            and (not self._targets or any(_all_fit(target, name.tags) for target in self._targets))
        )

    def mismatch(self, name: SeriesName) -> str | None:
        """Return the first thing about a series that the policy does not match, for a reader; None if it matches."""
        if self.source != name.source:
            return f"on {self.source} is not {name.source}"
        if not _fits(name.measurement, self._measurement):
            return f"where.measurement {self._measurement!r} does not match {name.measurement!r}"
        if not _fits(name.field, self._field):
            return f"where.field {self._field!r} does not match {name.field!r}"
        for key, glob in self._tags:
            if key not in name.tags:
                return f"where.tags.{key} {glob!r}: the series has no such tag"
            if not _fits(name.tags[key], glob):
                return f"where.tags.{key} {glob!r} does not match {name.tags[key]!r}"
        return None if self.matches(name) else "none of its targets"

    def places(self) -> Iterator[list[_Place]]:
        """Yield where it may stand in an index: all series that it is about lead to one of the places of a choice."""
        head = self.source, _literal(self._measurement), _literal(self._field)
        for key, glob in self._tags:
            if _literal(glob):
                yield [(*head, (key, glob))]
        targets = [dict(target) for target in self._targets]
        for key in targets[0] if targets else ():
            globs = dict.fromkeys(target.get(key, "*") for target in targets)
            if all(_literal(glob) for glob in globs):
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

    def matching(self, name: SeriesName) -> list[str]:
        """Return the ids of the policies that match a series, sorted."""
        tags = (_NO_TAG, *name.tags.items())
        found: set[str] = set()
        for measurement, field, tag in product((name.measurement, _ANY), (name.field, _ANY), tags):
            there = self._places.get((name.source, measurement, field, tag), {})
            found.update(selector.policy_id for selector in there.values() if selector.matches(name))
        return sorted(found)

    def _crowd(self, places: list[_Place]) -> int:
        return max(len(self._places.get(place, ())) for place in places)


def _asked(target: Target) -> _Globs:
    """Return what a target says; what it leaves open holds for any series."""
    return tuple((key, glob) for key, glob in target.model_dump().items() if glob != "*")


def _literal(glob: str) -> str:
    return _ANY if _WILD.search(glob) else glob


def _all_fit(globs: Iterable[tuple[str, str]], tags: Mapping[str, str]) -> bool:
    return all(key in tags and _fits(tags[key], glob) for key, glob in globs)


def _fits(text: str, glob: str) -> bool:
    return text == glob or glob == "*" or _pattern(glob).match(text) is not None


@lru_cache(maxsize=32_768)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob))

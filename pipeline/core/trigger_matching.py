"""Which policies match which series: asked once for each new series, and once for each new policy."""

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import translate
from functools import lru_cache
from typing import Final, NamedTuple

from schemas.selection import Target
from schemas.trigger_policy import TriggerPolicy

__all__ = ["SAMPLES", "PolicyIndex", "SeriesName", "matches", "mismatch", "source_of"]

SAMPLES: Final = "sample"
"""Where raw values come from; silence is judged by them too."""

_WILD: Final = re.compile(r"[*?\[]")
_Key = tuple[str, str]


class SeriesName(NamedTuple):
    """What is compared: where it comes from, and the series."""

    source: str
    """``sample``, ``window:avg`` and so on, ``anomaly`` or ``forecast``."""
    measurement: str
    field: str
    tags: Mapping[str, str]
    """Canonical tags."""


def source_of(policy: TriggerPolicy) -> str:
    """Give where a policy's values come from.

    Examples
    --------
    >>> source_of(TriggerPolicy.model_validate({"id": "a", "on": "window", "levels": {"info": {"fire": 1}}}))
    'window:avg'
    """
    if policy.on == "window":
        return f"window:{policy.function or 'avg'}"
    return SAMPLES if policy.on == "silence" else policy.on


def mismatch(policy: TriggerPolicy, name: SeriesName) -> str | None:
    """Give the first thing about a series that a policy does not match, for a reader; None if it matches."""
    where = policy.where
    if source_of(policy) != name.source:
        return f"on {source_of(policy)} is not {name.source}"
    for key, glob, text in (
        ("where.measurement", where.measurement, name.measurement),
        ("where.field", where.field, name.field),
    ):
        if not _fits(text, glob):
            return f"{key} {glob!r} does not match {text!r}"
    for key, glob in where.tags.items():
        if key not in name.tags:
            return f"where.tags.{key} {glob!r}: the series has no such tag"
        if not _fits(name.tags[key], glob):
            return f"where.tags.{key} {glob!r} does not match {name.tags[key]!r}"
    if policy.targets and not any(_is_of(target, name.tags) for target in policy.targets):
        return "none of its targets"
    return None


def matches(policy: TriggerPolicy, name: SeriesName) -> bool:
    """Tell whether a policy is about a series."""
    return mismatch(policy, name) is None


class PolicyIndex:
    """Policies by what they ask for literally, so that a series is compared with few of them.

    Notes
    -----
    Each policy stands under the rarest text that a series must have to match it: a tag's or target's value, its field
    or its measurement. Ten thousand policies for one machine each are one comparison for a series, not ten thousand.
    """

    def __init__(self) -> None:
        self._places: dict[_Key, dict[str, TriggerPolicy]] = {}
        self._keys_of: dict[str, list[_Key]] = {}

    def put(self, policy: TriggerPolicy) -> None:
        """Add a policy, or replace the one of its id."""
        self.drop(policy.id)
        keys = min(_choices(policy), key=self._crowd)
        self._keys_of[policy.id] = keys
        for key in keys:
            self._places.setdefault(key, {})[policy.id] = policy

    def drop(self, policy_id: str) -> None:
        """Take a policy out, if it is there."""
        for key in self._keys_of.pop(policy_id, []):
            place = self._places[key]
            del place[policy_id]
            if not place:
                del self._places[key]

    def matching(self, name: SeriesName) -> list[str]:
        """Give the ids of the policies that match a series, sorted."""
        keys = (("", ""), ("measurement", name.measurement), ("field", name.field), *_tag_keys(name.tags.items()))
        found = {
            policy.id
            for key in keys
            if key in self._places
            for policy in self._places[key].values()
            if matches(policy, name)
        }
        return sorted(found)

    def _crowd(self, keys: list[_Key]) -> int:
        return max(len(self._places.get(key, ())) for key in keys)


def _choices(policy: TriggerPolicy) -> Iterator[list[_Key]]:
    """Yield the places that a policy may stand at, each of which all of its series lead to; the last always does."""
    where = policy.where
    yield from ([key] for key in _tag_keys(_literal(where.tags)))
    targets = [dict(_literal(target.model_dump())) for target in policy.targets]
    for name in targets[0] if targets else ():
        if all(name in target for target in targets):
            yield list(dict.fromkeys(_tag_keys((name, target[name]) for target in targets)))
    yield from ([key] for key in _literal({"field": where.field}))
    yield from ([key] for key in _literal({"measurement": where.measurement}))
    yield [("", "")]


def _literal(globs: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((key, glob) for key, glob in globs.items() if not _WILD.search(glob))


def _tag_keys(tags: Iterable[tuple[str, str]]) -> Iterator[_Key]:
    """Yield the tags as keys that no measurement or field is taken for."""
    return ((f"tags.{key}", value) for key, value in tags)


def _is_of(target: Target, tags: Mapping[str, str]) -> bool:
    """Tell whether all that a target says holds; what it leaves open holds for any series."""
    return all(glob == "*" or (key in tags and _fits(tags[key], glob)) for key, glob in target)


def _fits(text: str, glob: str) -> bool:
    if glob == "*":
        return True
    return text == glob if not _WILD.search(glob) else _pattern(glob).match(text) is not None


@lru_cache(maxsize=32_768)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob))

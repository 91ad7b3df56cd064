"""Globs over names and tags: the one way in which text is compared with a pattern, compiled once and kept."""

import re
from collections.abc import Iterable, Mapping
from fnmatch import translate
from functools import lru_cache
from typing import Final, NamedTuple

from schemas.selection import Target, Where

__all__ = ["LONGEST_TEXT", "SeriesSelector", "glob_matches", "is_literal", "tags_match"]

LONGEST_TEXT: Final = 2048
"""Characters: what is longer is matched by ``*`` alone, so that nobody's tag of 64 KB is searched for each pattern."""

_WILD: Final = re.compile(r"[*?\[]")
_PLACE: Final = re.compile(r"\[!?+\]?+[^\]]*\]|.", re.DOTALL)
"""One character of a glob, or a class of them: ``[!]a]`` and the like as `fnmatch` reads them."""
_ALL: Final = "*"


def glob_matches(glob: str, text: str) -> bool:
    """Return whether a text matches a glob: ``*``, ``?``, ``[ab]``; the case counts.

    Notes
    -----
    The same as `fnmatch.fnmatchcase` for texts of at most `LONGEST_TEXT` characters, without its backtracking: the
    parts between stars are looked for one after the other, each at its leftmost place. A part of plain characters is
    one search (linear); one with ``?`` or ``[ab]`` compares at most its own length at each place.

    Examples
    --------
    >>> [glob_matches("cpu*", text) for text in ("cpu", "cpu-total", "CPU")]
    [True, True, False]
    """
    if glob == _ALL:
        return True
    parts = _compiled(glob)
    if parts is None:
        return text == glob
    return len(text) <= LONGEST_TEXT and _matches(parts, text)


def is_literal(glob: str) -> bool:
    """Return whether a glob matches nothing but itself.

    Examples
    --------
    >>> is_literal("cpu-total"), is_literal("cpu?")
    (True, False)
    """
    return _WILD.search(glob) is None


def tags_match(globs: Iterable[tuple[str, str]], tags: Mapping[str, str]) -> bool:
    """Return whether each of these tags is there and matches its glob.

    Examples
    --------
    >>> tags_match([("csp", "aws*")], {"csp": "aws-kr"}), tags_match([("csp", "*")], {})
    (True, False)
    """
    return all(key in tags and glob_matches(glob, tags[key]) for key, glob in globs)


class SeriesSelector:
    """Decides which series a document is about: by measurement, field, tags, and whose they are.

    Parameters
    ----------
    where
        Globs of the measurement, the field and tags.
    targets
        Globs of identity tags, of which one must match as a whole; none: everybody's.

    Attributes
    ----------
    measurement, field : str
        Globs.
    tags : tuple of (str, str)
        Tags and their globs.
    targets : tuple of tuple of (str, str)
        Of each target what it asks for: what it leaves open (``*``) holds for series without the tag too.

    Examples
    --------
    >>> selector = SeriesSelector(Where(measurement="cpu"), [Target(ns_id="prod"), Target(region="kr-*")])
    >>> selector.matches("cpu", "usage", {"region": "kr-1"}), selector.matches("cpu", "usage", {"ns_id": "test"})
    (True, False)
    """

    def __init__(self, where: Where, targets: Iterable[Target] = ()) -> None:
        self.measurement, self.field = where.measurement, where.field
        self.tags = tuple(where.tags.items())
        self.targets = tuple(
            tuple((key, glob) for key, glob in target.model_dump().items() if glob != _ALL) for target in targets
        )

    def matches(self, measurement: str, field: str, tags: Mapping[str, str]) -> bool:
        """Return whether it is about a series."""
        return (
            glob_matches(self.measurement, measurement) and glob_matches(self.field, field) and self.matches_tags(tags)
        )

    def matches_tags(self, tags: Mapping[str, str]) -> bool:
        """Return whether it is about series with these tags, whatever they measure."""
        return tags_match(self.tags, tags) and (
            not self.targets or any(tags_match(target, tags) for target in self.targets)
        )


class _Part(NamedTuple):
    """What stands between two stars of a glob."""

    length: int
    """Characters of the text that it takes: as many as it has places."""
    what: str | re.Pattern[str]
    """Itself; of one with ``?`` or ``[ab]`` a pattern of it and anything behind it, which has nothing to go back to."""

    def find(self, text: str, start: int, end: int) -> int:
        """Return the first place within a text where it stands, -1 without one."""
        if isinstance(self.what, str):
            return text.find(self.what, start, end)
        found = self.what.search(text, start, end)
        return -1 if found is None else found.start()

    def is_at(self, text: str, start: int) -> bool:
        """Return whether it stands at a place of a text."""
        if isinstance(self.what, str):
            return text.startswith(self.what, start)
        return self.what.match(text, start, start + self.length) is not None


@lru_cache(maxsize=32_768)
def _compiled(glob: str) -> tuple[_Part, ...] | None:
    """Return what stands before, between and after the stars; None for a glob that matches itself alone."""
    if is_literal(glob):
        return None
    parts: list[list[str]] = [[]]
    for place in _PLACE.findall(glob):
        if place == _ALL:
            parts.append([])
        else:
            parts[-1].append(place)
    between = [part for part in parts[1:-1] if part]
    return tuple(_part(part) for part in (parts[:1] if len(parts) == 1 else (parts[0], *between, parts[-1])))


def _part(places: list[str]) -> _Part:
    text = "".join(places)
    is_plain = all(len(place) == 1 and place != "?" for place in places)
    return _Part(len(places), text if is_plain else re.compile(translate(text + _ALL)))


def _matches(parts: tuple[_Part, ...], text: str) -> bool:
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return len(text) == first.length and first.is_at(text, 0)
    start, end = first.length, len(text) - last.length
    if start > end or not first.is_at(text, 0) or not last.is_at(text, end):
        return False
    for part in parts[1:-1]:
        found = part.find(text, start, end)
        if found < 0:
            return False
        start = found + part.length
    return True

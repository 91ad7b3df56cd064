"""Globs over names and tags: the one way in which text is compared with a pattern, compiled once and kept."""

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import translate
from functools import lru_cache
from typing import Final

from schemas.selection import Target, Where

__all__ = ["SeriesSelector", "glob_matches", "is_literal", "tags_match"]

_WILD: Final = re.compile(r"[*?\[]")
_ALL: Final = "*"


def glob_matches(glob: str, text: str) -> bool:
    """Return whether a text matches a glob: ``*``, ``?``, ``[ab]``; the case counts.

    Notes
    -----
    The same as `fnmatch.fnmatchcase`, and faster for what most globs are: a name, or ``*``.

    Examples
    --------
    >>> [glob_matches("cpu*", text) for text in ("cpu", "cpu-total", "CPU")]
    [True, True, False]
    """
    if glob == _ALL:
        return True
    match = _compiled(glob)
    return text == glob if match is None else match(text) is not None


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


@lru_cache(maxsize=32_768)
def _compiled(glob: str) -> Callable[[str], re.Match[str] | None] | None:
    """Return what matches a text; None for a glob that matches itself alone."""
    return None if is_literal(glob) else re.compile(translate(glob)).match

"""The sources there are, by name."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from pipeline.sources.base import Source
from pipeline.sources.fleet.fleet import Fleet
from pipeline.sources.host import ThisHost

SOURCES: Final[dict[str, type[Source]]] = {each.name: each for each in (Fleet, ThisHost)}


class SourceReference(NamedTuple):
    """What the reference says of one source."""

    name: str
    summary: str
    options: tuple[str, ...]


def reference() -> Iterator[SourceReference]:
    """Yield what there is to know of each source."""
    for source in SOURCES.values():
        yield SourceReference(source.name, source.summary, source.options)

"""Which store a window goes to: by the region that its tags name, and by its series where stores share a region."""

import logging
from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

import orjson

from pipeline.core.globs import glob_matches
from pipeline.core.rendezvous import chosen
from pipeline.stores.settings import StoreSettings

logger = logging.getLogger(__name__)

_MAX_REGIONS: Final = 10_000
_MAX_SERIES: Final = 100_000
# Where the tags of a record of metrics.agg end. It stands in no string (the quote would be escaped), and in the tags
# only if a tag's value were an object.
_END_OF_TAGS: Final = b'},"start_ms":'


class Destination(Enum):
    """Whose a record is."""

    MINE = auto()
    OTHERS = auto()
    """Another store takes it."""
    NOBODYS = auto()
    """No store takes it, and it is for this one to say so."""


def everything(_value: bytes) -> Destination:
    """Return that a record is for the store, whichever it is."""
    return Destination.MINE


class RegionRoute:
    """Tells which records a store takes: its share of those of its regions, or of what no other store takes.

    Parameters
    ----------
    mine
        The store.
    stores
        All regional stores of the process's settings. The first of them answers for what no store takes.

    Notes
    -----
    The stores that take one region share its series: each series (measurement and tags) is in one of them, found by
    `pipeline.core.rendezvous` from the stores' names. A store that is added takes its share from each of the others.
    """

    def __init__(self, mine: StoreSettings, stores: Sequence[StoreSettings]) -> None:
        self._mine = mine
        self._stores = tuple(stores)
        self._names_by_region: dict[str, list[str]] = {}
        self._known: dict[bytes, Destination] = {}

    def destination(self, value: bytes) -> Destination:
        """Tell whose a record is; one that cannot be read is some store's to reject."""
        if len(self._stores) == 1 and not self._mine.regions:
            return Destination.MINE
        end = value.find(_END_OF_TAGS)
        known = self._known.get(value[:end]) if end >= 0 else None
        if known is not None:
            return known
        try:
            window = orjson.loads(value)
            region = str(window["tags"].get("region", ""))
            series = orjson.dumps([window["measurement"], window["tags"]], option=orjson.OPT_SORT_KEYS)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return self._of(self._without_regions() or [self._stores[0].name], b"")
        found = self._of(self._takers_of(region), series)
        if end >= 0:
            if len(self._known) >= _MAX_SERIES:
                self._known.clear()
            self._known[value[:end]] = found
        return found

    def _of(self, names: list[str], series: bytes) -> Destination:
        if not names:
            return Destination.NOBODYS if self._answers_for_nobody() else Destination.OTHERS
        return Destination.MINE if chosen(names, series) == self._mine.name else Destination.OTHERS

    def _takers_of(self, region: str) -> list[str]:
        names = self._names_by_region.get(region)
        if names is None:
            names = [store.name for store in self._stores if any(glob_matches(glob, region) for glob in store.regions)]
            names = names or self._without_regions()
            if not names and self._answers_for_nobody():
                logger.error("no store takes region %r, its windows are kept nowhere: add it, or one for all", region)
            if len(self._names_by_region) >= _MAX_REGIONS:
                self._names_by_region.clear()
            self._names_by_region[region] = names
        return names

    def _without_regions(self) -> list[str]:
        return [store.name for store in self._stores if not store.regions]

    def _answers_for_nobody(self) -> bool:
        return self._stores[0].name == self._mine.name

"""Which store a window goes to: by the region that its tags name."""

import logging
from collections.abc import Sequence
from enum import Enum, auto
from fnmatch import fnmatchcase

import orjson

from pipeline.runtime.settings import StoreSettings

logger = logging.getLogger(__name__)

_MAX_REGIONS = 10_000


class Destination(Enum):
    """Whose a record is."""

    MINE = auto()
    OTHERS = auto()
    """Another store takes it."""
    NOBODYS = auto()
    """No store takes it, and it is for this one to say so."""


class RegionRoute:
    """Tells which records a store takes: those of its regions, or what no other store takes.

    Parameters
    ----------
    mine
        The store.
    stores
        All stores of the process's settings. The first of them answers for what no store takes.
    """

    def __init__(self, mine: StoreSettings, stores: Sequence[StoreSettings]) -> None:
        self._mine = mine
        self._others = tuple(store for store in stores if store.name != mine.name)
        self._has_default = not all(store.regions for store in stores)
        self._answers_for_nobody = stores[0].name == mine.name
        self._takes_all = not mine.regions and not any(store.regions for store in self._others)
        self._known: dict[str, Destination] = {}

    def destination(self, value: bytes) -> Destination:
        """Tell whose a record is; one that cannot be read is some store's to reject."""
        if self._takes_all:
            return Destination.MINE
        try:
            region = str(orjson.loads(value)["tags"].get("region", ""))
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            rejects = not self._mine.regions if self._has_default else self._answers_for_nobody
            return Destination.MINE if rejects else Destination.OTHERS
        known = self._known.get(region)
        if known is None:
            if len(self._known) >= _MAX_REGIONS:
                self._known.clear()
            known = self._known[region] = self._of_region(region)
        return known

    def _of_region(self, region: str) -> Destination:
        if _matches(region, self._mine):
            return Destination.MINE
        if any(_matches(region, store) for store in self._others):
            return Destination.OTHERS
        if self._has_default:
            return Destination.OTHERS if self._mine.regions else Destination.MINE
        if not self._answers_for_nobody:
            return Destination.OTHERS
        logger.error("no store takes region %r, its windows are kept nowhere: add it, or a store for the rest", region)
        return Destination.NOBODYS


def _matches(region: str, store: StoreSettings) -> bool:
    return any(fnmatchcase(region, glob) for glob in store.regions)

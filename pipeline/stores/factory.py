"""The kinds of stores there are, and one store from its settings."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import topics
from pipeline.stores.base import HistoryStore, RecordStore, Store
from pipeline.stores.embedded.kind import Embedded
from pipeline.stores.influxdb.kind import InfluxDB
from pipeline.stores.kind import StoreKind
from pipeline.stores.settings import INTEGRATED_TOPICS, StoreSettings

KINDS: Final[dict[str, StoreKind]] = {each.name: each for each in (InfluxDB(), Embedded())}
"""Every kind of store, by the option ``kind`` of the settings."""


class StoreReference(NamedTuple):
    """What the reference says of one kind of store."""

    kind: str
    summary: str
    needs: tuple[str, ...]
    """Options that it must have; of two with a bar between them either."""
    takes: tuple[str, ...]


def reference() -> Iterator[StoreReference]:
    """Yield what there is to know of each kind of store."""
    for kind in KINDS.values():
        either = (" | ".join(kind.needs_one_of),) if kind.needs_one_of else ()
        yield StoreReference(kind.name, kind.summary, (*kind.needs, *either), kind.takes)


def kind_of(store: StoreSettings) -> StoreKind:
    """Return the kind of a store; ValueError if there is no such kind."""
    return named_kind(store.kind)


def named_kind(name: str) -> StoreKind:
    """Return the kind of a name; ValueError if there is no such kind."""
    found = KINDS.get(name)
    if found is None:
        raise ValueError(f"unknown kind of store {name!r}: use {' or '.join(KINDS)}")
    return found


def open_store(store: StoreSettings, *, read_only: bool = False) -> Store:
    """Return a store of windows, open.

    Parameters
    ----------
    store
        Its section of the settings.
    read_only
        Whether an embedded store's file is only read; it must be there then.

    Raises
    ------
    ValueError
        If something that the kind needs is missing.
    StoreUnavailable
        If the file of an embedded store cannot be opened. InfluxDB is first asked when it is used.
    """
    return kind_of(store).open_windows(store, read_only=read_only)


def open_integrated(store: StoreSettings, topic: str) -> RecordStore:
    """Return what keeps the records of one topic in the integrated store, open.

    Parameters
    ----------
    store
        Its section of the settings.
    topic
        ``metrics.downsampled``, ``anomalies`` or ``alerts``.

    Raises
    ------
    ValueError
        For another topic, or if something that the kind needs is missing.
    StoreUnavailable
        As `open_store`.
    """
    if topic == topics.METRICS_DOWNSAMPLED:
        return kind_of(store).open_chunks(store)
    if topic not in INTEGRATED_TOPICS.values():
        raise ValueError(f"the integrated store takes no records of {topic}")
    return kind_of(store).open_events(store, topic)


def open_history(store: StoreSettings) -> HistoryStore:
    """Return what gives back the chunks of the integrated store, open.

    Raises
    ------
    ValueError, StoreUnavailable
        As `open_store`; an embedded store's file must be there.
    """
    return kind_of(store).open_history(store)

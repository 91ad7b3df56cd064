"""The sinks of a process: windows to regional stores; history, anomalies and alerts to the integrated one."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import topics
from pipeline.settings.model import Settings, StoreSettings
from pipeline.settings.stores import INTEGRATED_FEEDS
from pipeline.stages.sink.region_route import Destination, RegionRoute
from pipeline.stores.base import RecordStore
from pipeline.stores.factory import open_store
from pipeline.stores.integrated import open_integrated

STAGE = "sink"

_INTEGRATED_TOPICS = dict(
    zip(INTEGRATED_FEEDS, (topics.METRICS_DOWNSAMPLED, topics.ANOMALIES, topics.ALERTS), strict=True)
)


class SinkFeed(NamedTuple):
    """One sink: a topic, a store, and which records of the one are for the other.

    Attributes
    ----------
    name
        Of the stage; its consumer group ends with it.
    topic
        What it reads.
    store
        The section of the settings of the store that it writes to.
    destination
        Whose a record is.
    open
        Opens the store for records of this topic.
    """

    name: str
    topic: str
    store: StoreSettings
    destination: Callable[[bytes], Destination]
    open: Callable[[], RecordStore]


def sink_feeds(settings: Settings) -> Iterator[SinkFeed]:
    """Yield the sinks that the settings call for."""
    for store in settings.regional_stores:
        route = RegionRoute(store, settings.regional_stores)
        yield SinkFeed(f"{STAGE}-{store.name}", topics.METRICS_AGG, store, route.destination, _opener(store, None))
    integrated = settings.integrated_store
    if integrated is not None:
        for feed, topic in _INTEGRATED_TOPICS.items():
            name = f"{STAGE}-{integrated.name}-{feed}"
            yield SinkFeed(name, topic, integrated, _everything, _opener(integrated, topic))


def _opener(store: StoreSettings, topic: str | None) -> Callable[[], RecordStore]:
    return lambda: open_store(store) if topic is None else open_integrated(store, topic)


def _everything(_value: bytes) -> Destination:
    return Destination.MINE

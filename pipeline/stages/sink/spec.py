"""The stage ``sink``: a topic to a store."""

from typing import TYPE_CHECKING

import topics
from pipeline.stages.sink.metrics import SinkFamilies
from pipeline.stages.spec import Group, StageSpec
from pipeline.stores.settings import INTEGRATED_TOPICS, StoreSettings, integrated_store, regional_stores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.runtime.engine.stage import Stage
    from pipeline.runtime.observability.metrics import Metrics
    from pipeline.settings.model import Settings


def windows_group(store: StoreSettings) -> Group:
    """Return the group that writes windows to a regional store."""
    return Group(f"sink-{store.name}", topics.METRICS_AGG)


def _feeds(settings: "Settings") -> "Iterator[tuple[Group, StoreSettings]]":
    """Yield each group with the store that it fills: windows for regions, all else for the integrated store."""
    for store in regional_stores(settings):
        yield windows_group(store), store
    integrated = integrated_store(settings)
    if integrated is not None:
        for feed, topic in INTEGRATED_TOPICS.items():
            yield Group(f"sink-{integrated.name}-{feed}", topic), integrated


def _build(settings: "Settings", metrics: "Metrics") -> "Sequence[Stage]":
    from pipeline.stages.sink.region_route import RegionRoute, everything
    from pipeline.stages.sink.stage import SinkStage
    from pipeline.stores.factory import open_integrated, open_store

    regional, families = regional_stores(settings), SinkFamilies(metrics)
    return [
        SinkStage(settings, families, group, store, everything, open_integrated(store, group.topic))
        if store.role == "integrated"
        else SinkStage(settings, families, group, store, RegionRoute(store, regional).destination, open_store(store))
        for group, store in _feeds(settings)
    ]


SPEC = StageSpec(
    name="sink",
    summary="Writes windows to the stores of their regions; history, anomalies and alerts to the integrated store.",
    groups=(
        Group("sink-STORE", topics.METRICS_AGG),
        *(Group(f"sink-STORE-{feed}", topic) for feed, topic in INTEGRATED_TOPICS.items()),
    ),
    groups_of=lambda settings: [group for group, _ in _feeds(settings)],
    needs_groups="needs a store: add one under `stores`",
    writes=(topics.DEAD_LETTERS,),
    keeps="offsets",
    sections=(StoreSettings,),
    metrics=SinkFamilies,
    build=_build,
)

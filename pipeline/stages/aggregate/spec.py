"""The stage ``aggregate``: raw samples to windows."""

from typing import TYPE_CHECKING

import topics
from pipeline.stages.aggregate.metrics import AggregateFamilies
from pipeline.stages.aggregate.settings import WindowsSettings
from pipeline.stages.parsing_settings import ParsingSettings
from pipeline.stages.spec import Group, StageSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.runtime.engine.stage import Stage
    from pipeline.runtime.observability.metrics import Metrics
    from pipeline.settings.model import Settings


def _build(settings: "Settings", metrics: "Metrics") -> "Sequence[Stage]":
    from pipeline.stages.aggregate.stage import AggregateStage

    return [AggregateStage(settings, metrics)]


SPEC = StageSpec(
    name="aggregate",
    summary="Folds samples into event-time windows of minimum, maximum, average and last value.",
    groups=(Group("aggregate", topics.METRICS_RAW),),
    writes=(topics.METRICS_AGG, topics.METRICS_RAW, topics.DEAD_LETTERS),
    keeps="checkpoint",
    sections=(ParsingSettings, WindowsSettings),
    metrics=AggregateFamilies,
    build=_build,
)

"""The stage ``detect``: windows to anomalies."""

from typing import TYPE_CHECKING

import topics
from pipeline.stages.detect.metrics import DetectFamilies
from pipeline.stages.detect.settings import DetectSettings
from pipeline.stages.spec import Group, StageSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.runtime.engine.stage import Stage
    from pipeline.runtime.observability.metrics import Metrics
    from pipeline.settings.model import Settings


def _build(settings: "Settings", metrics: "Metrics") -> "Sequence[Stage]":
    from pipeline.stages.detect.stage import DetectStage

    return [DetectStage(settings, metrics)]


SPEC = StageSpec(
    name="detect",
    summary="Scores the windows of each series, and reports those that are anomalous.",
    groups=(Group("detect", topics.METRICS_AGG),),
    writes=(topics.ANOMALIES, topics.DEAD_LETTERS),
    keeps="snapshots",
    follows=(topics.POLICIES,),
    sections=(DetectSettings,),
    metrics=DetectFamilies,
    build=_build,
)

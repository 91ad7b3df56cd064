"""The stage ``act``: alerts to notifications and runs of scripts."""

from typing import TYPE_CHECKING

import topics
from pipeline.stages.act.metrics import ActFamilies
from pipeline.stages.act.settings import ActSettings
from pipeline.stages.spec import Group, StageSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.runtime.engine.stage import Stage
    from pipeline.runtime.observability.metrics import Metrics
    from pipeline.settings.model import Settings


def _build(settings: "Settings", metrics: "Metrics") -> "Sequence[Stage]":
    from pipeline.stages.act.stage import ActStage

    return [ActStage(settings, metrics)]


SPEC = StageSpec(
    name="act",
    summary="Notifies people of alerts and runs scripts, as scenarios say.",
    groups=(Group("act", topics.POLICIES),),
    writes=(topics.ACTIONS, topics.DEAD_LETTERS),
    keeps="snapshots",
    follows=(topics.ALERTS,),
    sections=(ActSettings,),
    metrics=ActFamilies,
    build=_build,
)

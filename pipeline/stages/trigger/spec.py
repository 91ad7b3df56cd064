"""The stage ``trigger``: samples, windows and anomalies to alerts."""

from typing import TYPE_CHECKING

import topics
from pipeline.stages.parsing_settings import ParsingSettings
from pipeline.stages.spec import Group, StageSpec
from pipeline.stages.trigger.metrics import TriggerFamilies
from pipeline.stages.trigger.settings import TriggerSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.runtime.engine.stage import Stage
    from pipeline.runtime.observability.metrics import Metrics
    from pipeline.settings.model import Settings


def _build(settings: "Settings", metrics: "Metrics") -> "Sequence[Stage]":
    from pipeline.stages.trigger.feeds import FEEDS
    from pipeline.stages.trigger.stage import TriggerStage

    families = TriggerFamilies(metrics)
    return [TriggerStage(settings, families, group, FEEDS[group.topic]) for group in SPEC.groups]


SPEC = StageSpec(
    name="trigger",
    summary="Evaluates trigger policies over samples, windows and anomalies, and writes what becomes of each alert.",
    groups=(
        Group("trigger", topics.METRICS_RAW),
        Group("trigger-windows", topics.METRICS_AGG),
        Group("trigger-anomalies", topics.ANOMALIES),
    ),
    writes=(topics.ALERTS, topics.DEAD_LETTERS),
    keeps="snapshots",
    follows=(topics.POLICIES,),
    sections=(ParsingSettings, TriggerSettings),
    metrics=TriggerFamilies,
    build=_build,
)

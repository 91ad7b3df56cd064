"""The stage ``downsample``: raw samples to chunks of kept points."""

from typing import TYPE_CHECKING

import topics
from pipeline.stages.downsample.metrics import DownsampleFamilies
from pipeline.stages.downsample.settings import DownsampleSettings
from pipeline.stages.parsing_settings import ParsingSettings
from pipeline.stages.spec import Group, StageSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.runtime.engine.stage import Stage
    from pipeline.runtime.observability.metrics import Metrics
    from pipeline.settings.model import Settings


def _build(settings: "Settings", metrics: "Metrics") -> "Sequence[Stage]":
    from pipeline.stages.downsample.stage import DownsampleStage

    return [DownsampleStage(settings, metrics)]


SPEC = StageSpec(
    name="downsample",
    summary="Keeps about a tenth of the points of each series, with its peaks, steps and totals.",
    groups=(Group("downsample", topics.METRICS_RAW),),
    writes=(topics.METRICS_DOWNSAMPLED,),
    keeps="snapshots",
    sections=(ParsingSettings, DownsampleSettings),
    metrics=DownsampleFamilies,
    build=_build,
)

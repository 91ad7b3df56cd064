"""Where everything meets: the settings and metrics of all stages, stores and services."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.control.metrics import ControlFamilies
from pipeline.control.settings import ControlSettings
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.observability.metrics import Metrics
from pipeline.runtime.settings import WorkerSettings
from pipeline.settings import model
from pipeline.settings.loading import load
from pipeline.stages.registry import stage_names, stage_specs
from pipeline.stores.settings import StoreSettings

__all__ = ["Settings", "declared_metrics", "load_settings"]


def _known_stages(stages: tuple[str, ...]) -> tuple[str, ...]:
    known = stage_names()
    if not stages or not set(stages) <= set(known) or len(set(stages)) != len(stages):
        raise ValueError(f"must be one or more of {', '.join(known)}, each once")
    return stages


class _WorkerSettings(WorkerSettings):
    """What a worker process runs, and how it reports."""

    stages: Annotated[tuple[str, ...], AfterValidator(_known_stages)] = Field(
        stage_names(), title="Stages", description=f"Stages to run: {', '.join(stage_names())}."
    )


Settings = model.compose(
    (
        KafkaSettings,
        *(section for spec in stage_specs() for section in spec.sections),
        StoreSettings,
        _WorkerSettings,
        ControlSettings,
    )
)


def declared_metrics() -> Metrics:
    """Return new metrics with all that any process of the pipeline counts."""
    metrics = Metrics()
    for spec in stage_specs():
        if spec.metrics is not None:
            spec.metrics(metrics)
    ControlFamilies(metrics)
    return metrics


def load_settings(path: Path | None = None) -> model.Settings:
    """Return the settings in force, from file and environment; parameters and errors as of `loading.load`."""
    return load(Settings, path)

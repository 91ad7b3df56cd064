"""``cinnamon worker``: the stages of the pipeline against a real Kafka."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.kernels import ensure_kernels
from pipeline.cli.loading import BootstrapOption, ConfigOption, settings_or_exit
from pipeline.stages.registry import stage_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.settings.model import Settings
    from pipeline.stages.spec import StageSpec

_ADMIN_TIMEOUT_S = 20.0


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("worker")(worker)


def worker(
    stages: Annotated[
        str | None,
        typer.Option(metavar="NAME,…", help=f"Of {', '.join(stage_names())}; else as set."),
    ] = None,
    config: ConfigOption = None,
    bootstrap: BootstrapOption = None,
    web_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of /metrics, /healthz and /readyz; 0: a free one, logged."),
    ] = None,
) -> None:
    """Run stages of the pipeline until SIGTERM or Ctrl-C.

    Exit status: 0 after a clean end, 1 after a failure or with wrong settings, 2 for bad use.
    """
    settings = _with_options(settings_or_exit(config, bootstrap), stages, web_port)
    ensure_kernels()

    from pipeline.runtime.engine.worker import run_worker
    from pipeline.runtime.observability.metrics import Metrics
    from pipeline.runtime.settings import WorkerSettings
    from pipeline.settings.base import SettingsError
    from pipeline.stages.registry import chosen_stages
    from pipeline.stores.base import StoreUnavailable

    chosen = chosen_stages(settings[WorkerSettings].stages)
    _require_groups(chosen, settings)
    _require_topics(chosen, settings)
    metrics = Metrics()
    try:
        running = [stage for spec in chosen for stage in spec.build(settings, metrics)]
    except (SettingsError, StoreUnavailable) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    raise typer.Exit(run_worker(running, settings, metrics))


def _require_groups(chosen: "Sequence[StageSpec]", settings: "Settings") -> None:
    """End the program with what to do if the settings leave a stage nothing to read."""
    for spec in chosen:
        if not spec.groups_in(settings):
            others = ",".join(other.name for other in chosen if other is not spec)
            instead = f", or run --stages {others}" if others else ""
            typer.echo(f"stage {spec.name} {spec.needs_groups}{instead}", err=True)
            raise typer.Exit(1)


def _require_topics(chosen: "Sequence[StageSpec]", settings: "Settings") -> None:
    """End the program with what to do if a topic that the stages need is missing, or Kafka does not answer."""
    from pipeline.runtime.kafka.settings import KafkaSettings
    from topics.admin import BrokerError, TopicAdmin

    needed = frozenset().union(*(spec.required_topics(settings) for spec in chosen))
    try:
        admin = TopicAdmin(settings[KafkaSettings].librdkafka(), timeout_s=_ADMIN_TIMEOUT_S)
        missing = needed - set(admin.read(needed))
    except BrokerError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    if missing:
        typer.echo(f"missing topics: {', '.join(sorted(missing))}; `cinnamon topics apply` makes them", err=True)
        raise typer.Exit(1)


def _with_options(settings: "Settings", stages: str | None, web_port: int | None) -> "Settings":
    from pydantic import ValidationError

    from pipeline.runtime.settings import WorkerSettings

    worker = settings[WorkerSettings]
    chosen = worker.model_dump()
    if stages is not None:
        chosen["stages"] = tuple(name.strip() for name in stages.split(",") if name.strip())
    if web_port is not None:
        chosen["web_port"] = web_port
    try:
        return settings.having(type(worker).model_validate(chosen))
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"], param_hint="--stages") from error

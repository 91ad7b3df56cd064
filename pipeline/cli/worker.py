"""``cinnamon worker``: the stages of the pipeline against a real Kafka."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.loading import BootstrapOption, ConfigOption, settings_or_exit

if TYPE_CHECKING:
    from pipeline.runtime.engine.stage import Stage
    from pipeline.runtime.observability.metrics import Metrics
    from pipeline.settings.model import Settings

_ADMIN_TIMEOUT_S = 20.0


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("worker")(worker)


def worker(
    stages: Annotated[
        str | None,
        typer.Option(metavar="NAME,…", help="Of aggregate, downsample, detect, trigger, act, sink; else as set."),
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
    settings = settings_or_exit(config, bootstrap)
    settings = _with_options(settings, stages, web_port)
    if "sink" in settings.worker.stages and not settings.stores:
        typer.echo("stage sink needs a store: add one under `stores`, or run --stages aggregate,detect", err=True)
        raise typer.Exit(1)

    from pipeline.runtime.engine.worker import run_worker
    from pipeline.runtime.observability.metrics import Metrics
    from pipeline.settings.model import SettingsError
    from pipeline.stores import StoreUnavailable

    _require_topics(settings)
    metrics = Metrics()
    try:
        running = _stages(settings, metrics)
    except (SettingsError, StoreUnavailable) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    raise typer.Exit(run_worker(running, settings, metrics))


def _require_topics(settings: "Settings") -> None:
    """End the program with what to do if a topic that the stages need is missing, or Kafka does not answer."""
    import topics
    from topics.admin import BrokerError, TopicAdmin

    needed = {topics.METRICS_AGG, topics.DEAD_LETTERS}
    if "aggregate" in settings.worker.stages:
        needed |= {topics.METRICS_RAW, topics.CHECKPOINTS}
    if "downsample" in settings.worker.stages:
        needed |= {topics.METRICS_RAW, topics.METRICS_DOWNSAMPLED, topics.CHECKPOINTS, topics.CHECKPOINT_BLOCKS}
    if "detect" in settings.worker.stages:
        needed |= {topics.ANOMALIES, topics.POLICIES, topics.CHECKPOINTS, topics.CHECKPOINT_BLOCKS}
    if "trigger" in settings.worker.stages:
        needed |= {topics.METRICS_RAW, topics.ANOMALIES, topics.ALERTS, topics.POLICIES}
        needed |= {topics.CHECKPOINTS, topics.CHECKPOINT_BLOCKS}
    if "act" in settings.worker.stages:
        needed |= {topics.ALERTS, topics.ACTIONS, topics.POLICIES, topics.CHECKPOINTS, topics.CHECKPOINT_BLOCKS}
    if "sink" in settings.worker.stages:
        from pipeline.stages.sink.feeds import sink_feeds

        needed |= {feed.topic for feed in sink_feeds(settings)}
    try:
        missing = needed - set(TopicAdmin(settings.kafka.librdkafka(), timeout_s=_ADMIN_TIMEOUT_S).read(needed))
    except BrokerError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    if missing:
        typer.echo(f"missing topics: {', '.join(sorted(missing))}; `cinnamon topics apply` makes them", err=True)
        raise typer.Exit(1)


def _with_options(settings: "Settings", stages: str | None, web_port: int | None) -> "Settings":
    from pydantic import ValidationError

    from pipeline.settings.kafka import WorkerSettings

    chosen = settings.worker.model_dump()
    if stages is not None:
        chosen["stages"] = tuple(name.strip() for name in stages.split(",") if name.strip())
    if web_port is not None:
        chosen["web_port"] = web_port
    try:
        worker_settings = WorkerSettings.model_validate(chosen)
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"], param_hint="--stages") from error
    return settings.model_copy(update={"worker": worker_settings})


def _stages(settings: "Settings", metrics: "Metrics") -> "list[Stage]":
    running: list[Stage] = []
    if "aggregate" in settings.worker.stages:
        from pipeline.stages.aggregate.stage import AggregateStage

        running.append(AggregateStage(settings, metrics))
    if "downsample" in settings.worker.stages:
        from pipeline.stages.downsample.stage import DownsampleStage

        running.append(DownsampleStage(settings, metrics))
    if "detect" in settings.worker.stages:
        from pipeline.stages.detect.stage import DetectStage

        running.append(DetectStage(settings, metrics))
    if "trigger" in settings.worker.stages:
        from pipeline.stages.trigger.feeds import FEEDS
        from pipeline.stages.trigger.stage import TriggerStage

        running.extend(TriggerStage(settings, metrics, feed) for feed in FEEDS)
    if "act" in settings.worker.stages:
        from pipeline.stages.act.stage import ActStage

        running.append(ActStage(settings, metrics))
    if "sink" in settings.worker.stages:
        from pipeline.stages.sink.feeds import sink_feeds
        from pipeline.stages.sink.stage import SinkStage

        running.extend(SinkStage(settings, metrics, feed, feed.open()) for feed in sink_feeds(settings))
    return running

"""How the commands take their settings: from a file and the environment, with one option beating both."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.runtime.kafka.settings import KafkaSettings
    from pipeline.settings.model import Settings

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="YAML file with settings; CINNAMON_* in the environment beats it."),
]
BootstrapOption = Annotated[
    str | None,
    typer.Option("--bootstrap", metavar="HOST:PORT", help="Kafka's address; beats file and environment."),
]


def settings_or_exit(config: Path | None, bootstrap: str | None = None) -> "Settings":
    """Return the settings in force, or end the program with every mistake on standard error.

    Parameters
    ----------
    config
        A YAML file; none: defaults and environment alone.
    bootstrap
        Kafka's address in place of the settings'.

    Raises
    ------
    typer.Exit
        With status 1 if the settings are wrong.
    typer.BadParameter
        If ``bootstrap`` is no list of HOST:PORT.
    """
    from pydantic import ValidationError

    from pipeline.runtime.kafka.settings import KafkaSettings
    from pipeline.settings.base import SettingsError
    from pipeline.stages.registry import StagePluginError

    try:
        from pipeline.factory import load_settings

        settings = load_settings(config)
    except (SettingsError, StagePluginError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    if bootstrap is None:
        return settings
    try:
        KafkaSettings(bootstrap_servers=bootstrap)
    except ValidationError as error:
        raise typer.BadParameter(f"{bootstrap!r} must be HOST:PORT", param_hint="--bootstrap") from error
    kafka = settings[KafkaSettings].model_copy(update={"bootstrap_servers": bootstrap})
    return settings.having(kafka)


def kafka_or_exit(config: Path | None, bootstrap: str | None = None) -> "KafkaSettings":
    """Return how Kafka is reached; parameters and errors as of `settings_or_exit`."""
    from pipeline.runtime.kafka.settings import KafkaSettings

    return settings_or_exit(config, bootstrap)[KafkaSettings]

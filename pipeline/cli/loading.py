"""How the commands take their settings: from a file and the environment, with one option beating both."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
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

    from pipeline.settings.model import KafkaSettings, SettingsError, load_settings

    try:
        settings = load_settings(config)
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    if bootstrap is None:
        return settings
    try:
        KafkaSettings(bootstrap_servers=bootstrap)
    except ValidationError as error:
        raise typer.BadParameter(f"{bootstrap!r} must be HOST:PORT", param_hint="--bootstrap") from error
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": bootstrap})
    return settings.model_copy(update={"kafka": kafka})

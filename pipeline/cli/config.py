"""``cinnamon config``: what settings are in force, and what is wrong with them."""

import typer

from pipeline.cli.loading import ConfigOption, settings_or_exit

app = typer.Typer(no_args_is_help=True, help="Look at the settings and check them.")


@app.command()
def check(config: ConfigOption = None) -> None:
    """Print the settings in force, secrets hidden; or every mistake, with exit status 1."""
    import yaml

    from pipeline.settings.model import SettingsError

    settings = settings_or_exit(config)
    mistakes = []
    for read in (
        settings.kafka.librdkafka,
        settings.kafka.ssl_context,
        *(store.read_token for store in settings.stores),
        settings.control.read_database_url,
        settings.control.read_keys,
    ):
        try:
            read()
        except SettingsError as error:
            mistakes += error.mistakes
    if mistakes:
        typer.echo("\n".join(mistakes), err=True)
        raise typer.Exit(1)
    typer.echo(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False), nl=False)


def register(root: typer.Typer) -> None:
    """Add ``config`` to the program's commands."""
    root.add_typer(app, name="config")

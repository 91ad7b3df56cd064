"""``cinnamon config``: what settings are in force, and what is wrong with them."""

import typer

from pipeline.cli.loading import ConfigOption, settings_or_exit

app = typer.Typer(no_args_is_help=True, help="Look at the settings and check them.")


@app.command()
def check(config: ConfigOption = None) -> None:
    """Print the settings in force, secrets hidden; or every mistake, with exit status 1.

    Every file and folder that the settings name is opened; nothing is made.
    """
    import yaml

    from pipeline.settings.files import file_mistakes

    settings = settings_or_exit(config)
    mistakes = file_mistakes(settings)
    if mistakes:
        typer.echo("\n".join(mistakes), err=True)
        raise typer.Exit(1)
    typer.echo(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False), nl=False)


def register(root: typer.Typer) -> None:
    """Add ``config`` to the program's commands."""
    root.add_typer(app, name="config")

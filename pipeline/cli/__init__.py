"""The ``cinnamon`` command: one file per command or group, each with a ``register(app)``.

Exit status of every command: 0 for fine, 1 for bad data or a failure, 2 for bad use; 130 after Ctrl-C, 141 when the
reader of our output went away, as shells have it.
"""

from typing import Annotated

import typer

from pipeline import __version__
from pipeline.cli import (
    aggregate,
    alerts,
    audit,
    channel,
    config,
    control,
    doctor,
    parse,
    policy,
    schemas,
    simulate,
    stores,
    topics,
    worker,
)
from pipeline.cli.dead_letters import command as dead_letters
from pipeline.cli.query import command as query
from pipeline.cli.series import backtest, detect, downsample, downsample_report, scorecard
from pipeline.cli.up import command as up

__all__ = ["app", "main"]

_COMMANDS = (
    up,
    worker,
    control,
    simulate,
    query,
    aggregate,
    parse,
    detect,
    scorecard,
    backtest,
    downsample,
    downsample_report,
    policy,
    channel,
    alerts,
    dead_letters,
    audit,
    doctor,
    topics,
    stores,
    config,
    schemas,
)

app = typer.Typer(
    name="cinnamon",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,  # plain help comes in half the time
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in _COMMANDS:
    _command.register(app)


def _print_version(wanted: bool) -> None:
    """Print the version and end, if the option asks for it."""
    if wanted:
        typer.echo(f"cinnamon {__version__}")
        raise typer.Exit


@app.callback()
def _cinnamon(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Cinnamon: the monitoring pipeline for multi-cloud fleets."""


def main() -> None:
    """Run the command line; the process ends with its exit status."""
    app()

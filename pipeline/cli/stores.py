"""``cinnamon stores``: whether the databases of the settings are there, and making them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.loading import ConfigOption, settings_or_exit

if TYPE_CHECKING:
    from pipeline.stores.kind import StoreDifference
    from pipeline.stores.settings import StoreSettings

app = typer.Typer(no_args_is_help=True, help="Make and check the databases. Nothing is ever deleted.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")]


@app.command()
def check(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Compare buckets and files with the settings; exit status 1 when they differ or one does not answer."""
    from pipeline.stores.factory import kind_of

    differences: list[StoreDifference] = []
    failures: dict[str, str] = {}
    for store in _stores(config):
        with _noted(failures, store.name):
            differences += kind_of(store).check(store)
    if as_json:
        _print_json({"differences": [asdict(each) for each in differences], "failures": failures})
    elif differences:
        _print_table(differences)
    elif not failures:
        typer.echo("The stores are as the settings have them.")
    _end(failures, or_if=bool(differences))


@app.command()
def apply(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Make the buckets and files that are missing, and lengthen retentions that are too short.

    A bucket that keeps its points for longer than the settings say is reported and left alone.
    """
    from pipeline.stores.factory import kind_of

    done: list[str] = []
    left: list[StoreDifference] = []
    failures: dict[str, str] = {}
    for store in _stores(config):
        with _noted(failures, store.name):
            setup = kind_of(store).apply(store)
            done += [f"{store.name}: {each}" for each in setup.done]
            left += setup.left
    if as_json:
        _print_json({"done": done, "differences": [asdict(each) for each in left], "failures": failures})
    else:
        for line in done:
            typer.echo(line)
        for each in left:
            typer.echo(
                f"left alone: {each.setting} of {each.store} is {each.found}, the settings have {each.wanted}", err=True
            )
        if not done and not left and not failures:
            typer.echo("The stores are as the settings have them.")
    _end(failures)


def register(root: typer.Typer) -> None:
    """Add ``stores`` to the program's commands."""
    root.add_typer(app, name="stores")


def _stores(config: "ConfigOption") -> "tuple[StoreSettings, ...]":
    from pipeline.stores.settings import StoreSettings

    stores = settings_or_exit(config).listed(StoreSettings)
    if not stores:
        typer.echo("no store is configured: give --config", err=True)
        raise typer.Exit(1)
    return stores


@contextmanager
def _noted(failures: dict[str, str], name: str) -> Iterator[None]:
    """Go on with the other stores where one cannot be asked."""
    from pipeline.settings.base import SettingsError
    from pipeline.stores.base import StoreUnavailable

    try:
        yield
    except (StoreUnavailable, SettingsError, ValueError) as error:
        failures[name] = str(error)


def _end(failures: dict[str, str], *, or_if: bool = False) -> None:
    """End with exit status 1 after a failure, each reported on standard error."""
    for name, message in failures.items():
        typer.echo(f"store {name}: {message}", err=True)
    if failures or or_if:
        raise typer.Exit(1)


def _print_json(document: object) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _print_table(differences: "list[StoreDifference]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("store", "setting", "wanted", "found"):
        table.add_column(column, no_wrap=column != "found")
    for each in differences:
        table.add_row(each.store, each.setting, each.wanted, each.found)
    Console(markup=False).print(table)

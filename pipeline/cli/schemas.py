"""``cinnamon schemas``: the JSON Schema of what Cinnamon writes to Kafka."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="The JSON Schema of the records on Kafka.")


@app.callback()
def _group() -> None:
    """Keep ``export`` a sub-command although it is the only one."""


@app.command()
def export(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go.")] = Path("schemas/json"),
) -> None:
    """Write one JSON Schema file for each kind of record, and print their paths."""
    from schemas.export import json_schemas

    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in json_schemas().items():
            path = out / name
            path.write_text(text, encoding="utf-8")
            typer.echo(path)
    except OSError as error:
        typer.echo(f"{out}: cannot write: {error.strerror}", err=True)
        raise typer.Exit(1) from error


def register(root: typer.Typer) -> None:
    """Add ``schemas`` to the program's commands."""
    root.add_typer(app, name="schemas")

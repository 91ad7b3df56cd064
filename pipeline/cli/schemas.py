"""``cinnamon schemas``: the JSON Schema of what Cinnamon writes to Kafka."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.output import reader_may_leave

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

    texts = json_schemas()
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (out / name).write_text(text, encoding="utf-8")
    except OSError as error:
        typer.echo(f"{out}: cannot write: {error.strerror}", err=True)
        raise typer.Exit(1) from error
    with reader_may_leave():
        for name in texts:
            typer.echo(out / name)


def register(root: typer.Typer) -> None:
    """Add ``schemas`` to the program's commands."""
    root.add_typer(app, name="schemas")

"""``cinnamon topics``: what topics there should be, and whether a broker has them."""

import json
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.loading import BootstrapOption, ConfigOption, kafka_or_exit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from topics.admin import TopicAdmin
    from topics.plan import Difference, Plan, TopicState

app = typer.Typer(no_args_is_help=True, help="List, make and check the Kafka topics. Nothing is ever deleted.")

PartitionsOption = Annotated[
    int | None,
    typer.Option("--partitions", min=1, max=10_000, help="Partitions of the topics keyed by resource."),
]
ReplicationOption = Annotated[
    int | None,
    typer.Option("--replication", min=1, max=100, help="Copies of each partition; by default what the broker gives."),
]
TimeoutOption = Annotated[float, typer.Option("--timeout-s", min=0.1, max=600.0, help="Seconds a request may take.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")]


@app.command("list")
def list_topics(
    *,
    partitions: PartitionsOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the topics of the catalogue, as `apply` makes them; needs no broker."""
    from pipeline.stages.registry import known_topics

    states = {state.name: state for state in _wanted(partitions, None)}
    rows = [topic.model_dump() | {"partitions": states[topic.name].partitions} for topic in known_topics()]
    if as_json:
        _print_json(rows)
        return
    _print_table(
        ["topic", "partitions", "kept", "what is in it"],
        [[row["name"], str(row["partitions"]), _kept(row["retention_ms"]), row["description"]] for row in rows],
    )


@app.command()
def check(
    *,
    bootstrap: BootstrapOption = None,
    config: ConfigOption = None,
    partitions: PartitionsOption = None,
    replication: ReplicationOption = None,
    timeout_s: TimeoutOption = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Compare a broker's topics with the catalogue; exit status 1 when they differ."""
    with _broker(config, bootstrap, timeout_s) as admin:
        plan = _plan(admin, _wanted(partitions, replication))
    differences = [*plan.increase, *plan.keep]
    if as_json:
        _print_json(
            {"missing": [topic.name for topic in plan.create], "differences": [asdict(each) for each in differences]}
        )
    elif plan.is_empty:
        typer.echo("The topics are as the catalogue has them.")
    else:
        missing = [[topic.name, "", "there", "missing"] for topic in plan.create]
        _print_table(["topic", "setting", "wanted", "found"], missing + _difference_rows(differences))
    if not plan.is_empty:
        raise typer.Exit(1)


@app.command()
def apply(
    *,
    bootstrap: BootstrapOption = None,
    config: ConfigOption = None,
    partitions: PartitionsOption = None,
    replication: ReplicationOption = None,
    timeout_s: TimeoutOption = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Create the topics that are missing, and raise retention and record size where they are too small.

    Other differences are reported and left alone: to remove them would lose data, or move keys to other partitions.
    """
    with _broker(config, bootstrap, timeout_s) as admin:
        plan = _plan(admin, _wanted(partitions, replication))
        admin.apply(plan)
    if as_json:
        _print_json(
            {
                "created": [topic.name for topic in plan.create],
                "raised": [asdict(each) for each in plan.increase],
                "differences": [asdict(each) for each in plan.keep],
            }
        )
        return
    for topic in plan.create:
        typer.echo(f"created {topic.name} with {topic.partitions} partitions")
    for each in plan.increase:
        typer.echo(f"raised {each.setting} of {each.topic} from {each.found} to {each.wanted}")
    for each in plan.keep:
        typer.echo(
            f"left alone: {each.setting} of {each.topic} is {each.found}, the catalogue has {each.wanted}", err=True
        )
    if plan.is_empty:
        typer.echo("The topics are as the catalogue has them.")


@app.command()
def render(
    *,
    partitions: PartitionsOption = None,
    replication: ReplicationOption = None,
    cluster: Annotated[str, typer.Option(help="Name of the Strimzi Kafka resource.")] = "cinnamon",
) -> None:
    """Print the topics as Strimzi KafkaTopic resources for Kubernetes."""
    from topics.strimzi import render as rendered

    typer.echo(rendered(_wanted(partitions, replication), cluster=cluster), nl=False)


def register(root: typer.Typer) -> None:
    """Add ``topics`` to the program's commands."""
    root.add_typer(app, name="topics")


def _wanted(partitions: int | None, replication: int | None) -> "tuple[TopicState, ...]":
    from pipeline.stages.registry import known_topics
    from topics.plan import wanted_topics

    return wanted_topics(known_topics(), partitions=partitions, replication=replication)


def _plan(admin: "TopicAdmin", wanted: "tuple[TopicState, ...]") -> "Plan":
    from topics.plan import plan

    return plan(admin.read([topic.name for topic in wanted]), wanted)


@contextmanager
def _broker(config: Path | None, bootstrap: str | None, timeout_s: float) -> "Iterator[TopicAdmin]":
    """Yield the topics of the broker; what it or the settings refuse ends the program with exit status 1."""
    from pipeline.settings.base import SettingsError
    from topics.admin import BrokerError, TopicAdmin

    kafka = kafka_or_exit(config, bootstrap)
    try:
        yield TopicAdmin(kafka.librdkafka(), timeout_s=timeout_s)
    except (BrokerError, SettingsError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def _difference_rows(differences: "list[Difference]") -> list[list[str]]:
    return [[each.topic, each.setting, each.wanted, each.found or "not set"] for each in differences]


def _kept(retention_ms: int | None) -> str:
    return "newest of each key" if retention_ms is None else f"{retention_ms / 86_400_000:g} d"


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _print_table(columns: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for position, column in enumerate(columns):
        table.add_column(column, no_wrap=position < len(columns) - 1)
    for row in rows:
        table.add_row(*row)
    Console(markup=False).print(table)

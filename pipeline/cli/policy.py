"""``cinnamon policy``: the policies in force, changed while everything runs."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.loading import BootstrapOption, ConfigOption, kafka_or_exit
from pipeline.cli.output import reader_may_leave

if TYPE_CHECKING:
    from pipeline.cli.policy_files import FoundPolicy
    from pipeline.runtime.kafka.settings import KafkaSettings

app = typer.Typer(no_args_is_help=True, help="Apply, list and delete policies; workers follow them within a second.")

FilesOption = Annotated[
    list[Path] | None,
    typer.Option("--file", "-f", metavar="PATH", help="A YAML file, or a folder of them; may stand several times."),
]
TimeoutOption = Annotated[float, typer.Option("--timeout-s", min=0.1, max=600.0, help="Seconds Kafka may take.")]


@app.command()
def apply(
    *,
    files: FilesOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the files, and change nothing.")] = False,
    bootstrap: BootstrapOption = None,
    config: ConfigOption = None,
    timeout_s: TimeoutOption = 10.0,
) -> None:
    """Put the policies of files in force: all of them, or none if there is a mistake in any.

    Policies that the files do not name stay as they are. Exit status 1 with a line for each mistake.
    """
    policies = _read(files)
    if not dry_run:
        kafka = kafka_or_exit(config, bootstrap)
        with _failing_with_1():
            _write(kafka, {policy.key: policy.value for policy in policies}, timeout_s)
    for policy in policies:
        typer.echo(f"{'would apply' if dry_run else 'applied'} {policy.key}")


@app.command("list")
def list_policies(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document in place of a table.")] = False,
    bootstrap: BootstrapOption = None,
    config: ConfigOption = None,
    timeout_s: TimeoutOption = 10.0,
) -> None:
    """List the policies in force, with what workers cannot use of them."""
    kafka = kafka_or_exit(config, bootstrap)
    with _failing_with_1():
        stored = stored_policies(kafka, timeout_s)
    rows = [_row(key, value) for key, value in sorted(stored.items())]
    with reader_may_leave():
        if as_json:
            typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        else:
            _print_table(rows)


@app.command()
def delete(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="An id, or KIND/ID.")] = None,
    *,
    files: FilesOption = None,
    bootstrap: BootstrapOption = None,
    config: ConfigOption = None,
    timeout_s: TimeoutOption = 10.0,
) -> None:
    """Delete policies by id, or those that files name. Exit status 1, and nothing deleted, if one is not there."""
    if not ids and not files:
        raise typer.BadParameter("give ids or --file", param_hint="ID")
    wanted = [*(ids or []), *(policy.key for policy in (_read(files) if files else []))]
    kafka = kafka_or_exit(config, bootstrap)
    with _failing_with_1():
        keys = _keys(wanted, list(stored_policies(kafka, timeout_s)))
        _write(kafka, dict.fromkeys(keys), timeout_s)
    for key in keys:
        typer.echo(f"deleted {key}")


def register(root: typer.Typer) -> None:
    """Add ``policy`` to the program's commands."""
    root.add_typer(app, name="policy")


def _read(files: list[Path] | None) -> "list[FoundPolicy]":
    from pipeline.cli.policy_files import PolicyFilesError, read_policies

    if not files:
        raise typer.BadParameter("give at least one", param_hint="--file")
    try:
        return read_policies(files)
    except PolicyFilesError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def stored_policies(kafka: "KafkaSettings", timeout_s: float) -> dict[str, bytes]:
    """Return the newest value of each key that has one."""
    from pipeline.runtime.kafka.topic_reader import TopicReader
    from topics import POLICIES

    values: dict[str, bytes] = {}
    with TopicReader(kafka, timeout_s) as reader:
        for message in reader.read_all(POLICIES):
            key, value = (message.key() or b"").decode("utf-8", "replace"), message.value()
            if value is None:
                values.pop(key, None)
            else:
                values[key] = value
    return values


def _write(kafka: "KafkaSettings", values: "dict[str, bytes] | dict[str, None]", timeout_s: float) -> None:
    from pipeline.runtime.kafka.producer import RecordProducer
    from pipeline.runtime.kafka.topic_reader import TopicReader
    from topics import POLICIES

    with TopicReader(kafka, timeout_s) as reader:  # says what is wrong; a producer would wait
        reader.partitions(POLICIES)
    producer = RecordProducer(kafka)
    for key, value in values.items():
        producer.produce(POLICIES, key=key.encode(), value=value)
    producer.close(timeout_s)


def _keys(wanted: list[str], there: list[str]) -> list[str]:
    """Return the keys that ids name, each once; end the program if one names none, or several kinds."""
    keys: dict[str, None] = {}
    for name in wanted:
        found = [key for key in there if name in {key, key.partition("/")[2]}]
        if len(found) != 1:
            problem = f"is several: {', '.join(sorted(found))}" if found else "is not there"
            typer.echo(f"policy {name} {problem}; nothing is deleted", err=True)
            raise typer.Exit(1)
        keys[found[0]] = None
    return list(keys)


def _row(key: str, value: bytes) -> dict[str, Any]:
    from pipeline.core.policies import KINDS, policy_of

    kind, _, name = key.partition("/")
    row: dict[str, Any] = {"kind": kind, "id": name}
    try:
        row["policy"] = json.loads(value)
        if kind in KINDS:
            policy_of(kind, value)
        else:
            row["error"] = f"unknown kind; known: {', '.join(sorted(KINDS))}"
    except (ValueError, RecursionError) as error:
        row["error"] = str(error).splitlines()[0]
    return row


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not rows:
        typer.echo("No policies.", err=True)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("kind", "id", "enabled"):
        table.add_column(column, no_wrap=True)
    table.add_column("title")
    for row in rows:
        policy = row.get("policy")
        document = policy if isinstance(policy, dict) else {}
        enabled = "yes" if document.get("enabled", True) else "no"
        title = f"cannot be used: {row['error']}" if "error" in row else str(document.get("title", ""))
        table.add_row(row["kind"], row["id"], enabled, title)
    Console(markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else 240).print(table)


@contextmanager
def _failing_with_1() -> Iterator[None]:
    """End the program with one line and exit status 1 where Kafka or the settings say no."""
    from pipeline.runtime.kafka.producer import DeliveryError, FlushTimeoutError
    from pipeline.runtime.kafka.topic_reader import TopicReadError
    from pipeline.settings.base import SettingsError

    try:
        yield
    except (DeliveryError, FlushTimeoutError, SettingsError, TopicReadError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error

"""``cinnamon control``: the HTTP API over policies, alerts and what is done about them, and its keys."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.kernels import ensure_kernels
from pipeline.cli.loading import BootstrapOption, ConfigOption, settings_or_exit
from pipeline.cli.signals import ending_by_signals
from pipeline.cli.times import duration_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.control.auth.api_keys import ApiKeys
    from pipeline.control.database import Database
    from pipeline.settings.model import Settings

app = typer.Typer(invoke_without_command=True)


@app.callback()
def control(
    context: typer.Context,
    config: ConfigOption = None,
    bootstrap: BootstrapOption = None,
    web_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the API; 0: a free one, logged.")
    ] = None,
    migrate: Annotated[bool, typer.Option("--migrate", help="Only bring the database's tables up to date.")] = False,
    load: Annotated[
        list[Path] | None,
        typer.Option(
            "--load",
            metavar="FILE|DIR",
            help="Policies and the like in YAML, stored where there is none of their id; all are published again.",
        ),
    ] = None,
) -> None:
    """Serve the HTTP API until SIGTERM or Ctrl-C: policies, scenarios, channels, silences, alerts.

    The tables are brought up to date first. Exit status: 0 after a clean end, 1 after a failure or with wrong settings.
    """
    from pipeline.control.settings import ControlSettings
    from pipeline.runtime.settings import WorkerSettings

    if context.invoked_subcommand is not None:
        return
    settings = settings_or_exit(config, bootstrap)
    if migrate:
        _with_database(settings, lambda _: typer.echo("the tables are up to date"))
        return
    ensure_kernels()
    if load:
        _load(settings, load)
    if web_port is not None:
        settings = settings.having(settings[ControlSettings].model_copy(update={"web_port": web_port}))
    from pipeline.control.database import DatabaseError
    from pipeline.control.service import ControlService
    from pipeline.runtime.observability.logs import configure_logging
    from pipeline.runtime.observability.metrics import Metrics
    from pipeline.settings.base import SettingsError

    worker = settings[WorkerSettings]
    configure_logging(worker.log_level, worker.log_format)
    with ending_by_signals() as ending:
        try:
            service = ControlService(settings, Metrics())
        except (DatabaseError, SettingsError) as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error
        except OSError as error:
            where = f"{settings[ControlSettings].web_host}:{settings[ControlSettings].web_port}"
            typer.echo(f"the API cannot listen on {where}: {error.strerror}", err=True)
            raise typer.Exit(1) from error
        status = service.run(ending.stop)
    raise typer.Exit(status)


@app.command("create-key")
def create_key(
    *,
    name: Annotated[str, typer.Option(help="Whose it is; changes are kept with this name.")],
    role: Annotated[str, typer.Option(help="viewer, operator or admin.")],
    tenants: Annotated[
        list[str] | None,
        typer.Option("--tenant", metavar="NS_ID", help="Whose data it is for; may stand several times. Default: all."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How long it is valid, as 90d. Default: until revoked.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Make an API key and print it: it is not shown again."""
    from pipeline.control.auth.principal import role_of

    try:
        wanted = role_of(role)
        valid_ms = None if expires is None else duration_ms(expires)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error

    def create(database: "Database") -> None:
        expires_ms = None if valid_ms is None else _now_ms() + valid_ms
        try:
            key = _keys(database).create(name=name, role=wanted, tenants=tenants or None, expires_ms=expires_ms)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        typer.echo(key)

    _with_database(settings_or_exit(config), create)


@app.command("list-keys")
def list_keys(*, config: ConfigOption = None) -> None:
    """Print what is known of the API keys, one JSON object a line: not the keys."""

    def show(database: "Database") -> None:
        for row in _keys(database).rows():
            document = {
                "id": row.id,
                "name": row.name,
                "role": row.role.name.lower(),
                "tenants": None if row.tenants is None else sorted(row.tenants),
                "created_ms": row.created_ms,
                "expires_ms": row.expires_ms,
                "revoked_ms": row.revoked_ms,
            }
            typer.echo(json.dumps(document, ensure_ascii=False))

    _with_database(settings_or_exit(config), show)


@app.command("revoke-key")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id that list-keys shows.")],
    *,
    config: ConfigOption = None,
) -> None:
    """End an API key. Exit status 1 if there is no such key that is valid."""

    def revoke(database: "Database") -> None:
        if not _keys(database).revoke(key_id):
            typer.echo(f"there is no key {key_id} to revoke", err=True)
            raise typer.Exit(1)
        typer.echo(f"revoked {key_id}")

    _with_database(settings_or_exit(config), revoke)


@app.command()
def republish(*, config: ConfigOption = None) -> None:
    """Publish every policy, scenario, channel and silence again, as after the topic was lost."""

    def publish(database: "Database") -> None:
        from pipeline.control.documents import Documents

        count = Documents(database, _now_ms, lambda: None).publish_all()
        typer.echo(f"{count} documents wait to be published by `cinnamon control`")

    _with_database(settings_or_exit(config), publish)


def _load(settings: "Settings", paths: list[Path]) -> None:
    """Put files' documents into the database, and everything into its outbox: the topic may be a new one."""
    from pipeline.cli.policy_files import PolicyFilesError, read_policies
    from pipeline.control.documents import Documents
    from pipeline.control.loading import GivenDocument, LoadError, load_new

    try:
        found = [GivenDocument(each.kind, json.loads(each.value)) for each in read_policies(paths)]
    except PolicyFilesError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error

    def put(database: "Database") -> None:
        documents = Documents(database, _now_ms, lambda: None)
        try:
            load_new(documents, found)
        except LoadError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error
        documents.publish_all()

    _with_database(settings, put)


def register(root: typer.Typer) -> None:
    """Add ``control`` to the program's commands."""
    root.add_typer(app, name="control")


def _with_database(settings: "Settings", do: "Callable[[Database], None]") -> None:
    """Do something with the database, its tables up to date; end the program where it cannot be used."""
    from pipeline.control.database import Database, DatabaseError
    from pipeline.control.settings import ControlSettings
    from pipeline.settings.base import SettingsError

    try:
        database = Database(settings[ControlSettings])
        database.migrate()
    except (DatabaseError, SettingsError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    try:
        do(database)
    finally:
        database.close()


def _keys(database: "Database") -> "ApiKeys":
    from pipeline.control.auth.api_keys import ApiKeys

    return ApiKeys(database, _now_ms)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

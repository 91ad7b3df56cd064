"""``cinnamon channel``: tries channels out, and seals their secrets."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.loading import BootstrapOption, ConfigOption, settings_or_exit

if TYPE_CHECKING:
    from pipeline.settings.model import Settings
    from schemas.channel import Channel

app = typer.Typer(no_args_is_help=True, help="Try channels out, and seal their secrets.")

LONGEST_SECRET_CHARACTERS = 10_000


@app.command("test")
def try_out(
    channel_id: Annotated[str, typer.Argument(metavar="ID", help="The channel's id.")],
    *,
    files: Annotated[
        list[Path] | None,
        typer.Option("--file", "-f", metavar="PATH", help="Where it is described. Default: the channel in force."),
    ] = None,
    bootstrap: BootstrapOption = None,
    config: ConfigOption = None,
    timeout_s: Annotated[float, typer.Option("--timeout-s", min=0.1, max=600.0, help="Seconds Kafka may take.")] = 10.0,
) -> None:
    """Send one test message through a channel, with the secrets of this machine's settings (act.*).

    Exit status 1 if it was not taken, with the reason, and whether trying again makes sense.
    """
    from pipeline.channels.base import NotDelivered
    from pipeline.channels.compose import compose, trial_group
    from pipeline.channels.factory import open_channel
    from pipeline.runtime.secrets.channel_secrets import Secrets
    from pipeline.settings.base import SettingsError
    from pipeline.stages.act.settings import ActSettings

    settings = settings_or_exit(config, bootstrap)
    act = settings[ActSettings]
    channel = _described(channel_id, files) if files else _in_force(channel_id, settings, timeout_s)
    message, note = compose(trial_group(), channel)
    if note:
        typer.echo(note, err=True)
    try:
        secrets = Secrets(secrets_dir=act.secrets_dir, secrets_key_file=act.secrets_key_file)
        said = open_channel(channel, secrets.value, act.ssl_ca_file).send(message)
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    except NotDelivered as error:
        again = "may work later" if error.can_retry else "does not help to try again"
        typer.echo(f"not sent: {error.text} ({error.reason.value}; it {again})", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"sent through {channel_id} ({channel.type}){f': {said}' if said else ''}")


@app.command()
def seal(config: ConfigOption = None) -> None:
    """Read a secret from standard input, and print it sealed with the keys of act.secrets_key_file."""
    from pipeline.runtime.secrets.sealing import read_key_file
    from pipeline.settings.base import SettingsError
    from pipeline.stages.act.settings import ActSettings

    key_file = settings_or_exit(config)[ActSettings].secrets_key_file
    if key_file is None:
        typer.echo("act.secrets_key_file is not set", err=True)
        raise typer.Exit(1)
    secret = sys.stdin.read(LONGEST_SECRET_CHARACTERS + 1).strip()
    if not 0 < len(secret) <= LONGEST_SECRET_CHARACTERS:
        typer.echo(f"standard input must hold a secret of 1 to {LONGEST_SECRET_CHARACTERS} characters", err=True)
        raise typer.Exit(1)
    try:
        typer.echo(read_key_file(key_file, where="act.secrets_key_file").seal(secret))
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def register(root: typer.Typer) -> None:
    """Add ``channel`` to the program's commands."""
    root.add_typer(app, name="channel")


def _described(channel_id: str, files: list[Path]) -> "Channel":
    from pipeline.cli.policy_files import PolicyFilesError, read_policies

    try:
        policies = read_policies(files)
    except PolicyFilesError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    return _channel(channel_id, {policy.key: policy.value for policy in policies}, "in the files")


def _in_force(channel_id: str, settings: "Settings", timeout_s: float) -> "Channel":
    from pipeline.cli.policy import stored_policies
    from pipeline.runtime.kafka.settings import KafkaSettings
    from pipeline.runtime.kafka.topic_reader import TopicReadError

    try:
        stored = stored_policies(settings[KafkaSettings], timeout_s)
    except TopicReadError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    return _channel(channel_id, stored, "in force")


def _channel(channel_id: str, values: dict[str, bytes], where: str) -> "Channel":
    from pipeline.core.policies import policy_key, policy_of
    from schemas.channel import Channel

    value = values.get(policy_key("channel", channel_id))
    try:
        found = None if value is None else policy_of("channel", value)
    except ValueError as error:
        typer.echo(f"channel/{channel_id}: {error}", err=True)
        raise typer.Exit(1) from error
    if not isinstance(found, Channel):
        typer.echo(f"there is no channel {channel_id} {where}", err=True)
        raise typer.Exit(1)
    return found

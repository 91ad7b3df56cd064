"""``cinnamon dead-letters``: what could not be used, and its way back."""

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.loading import BootstrapOption, ConfigOption, kafka_or_exit, settings_or_exit
from pipeline.cli.output import reader_may_leave
from pipeline.cli.times import duration_ms, moment_ms
from schemas.reasons import DeadLetterReason

if TYPE_CHECKING:
    from collections import Counter

    from pipeline.core.records.dead_letter_replay import Fate
    from pipeline.runtime.kafka.dead_letter_log import StoredDeadLetter
    from pipeline.runtime.kafka.dead_letter_replay import DeadLetterReplay

app = typer.Typer(no_args_is_help=True, help="List, show and replay what could not be used.")

ReasonOption = Annotated[
    list[DeadLetterReason] | None,
    typer.Option("--reason", metavar="REASON", case_sensitive=False, help="Only this reason; may stand several times."),
]
StageOption = Annotated[str | None, typer.Option("--stage", help="Only of this stage; of a sink as sink-STORE.")]
SinceOption = Annotated[
    str | None,
    typer.Option("--since", metavar="DURATION", help="Only dead letters written so long ago at most: 15m, 1h."),
]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="MOMENT", help="Only dead letters written from then: ISO 8601 or ms.")
]
ToOption = Annotated[str | None, typer.Option("--to", metavar="MOMENT", help="Only dead letters written before then.")]
TimeoutOption = Annotated[
    float, typer.Option("--timeout-s", min=0.1, max=600.0, help="Seconds that Kafka may say nothing.")
]


@app.command("list")
def list_dead_letters(
    *,
    reason: ReasonOption = None,
    stage: StageOption = None,
    since: SinceOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    limit: Annotated[int, typer.Option("--limit", min=0, max=10_000, help="So many dead letters, the newest.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document in place of tables.")] = False,
    bootstrap: BootstrapOption = None,
    config: ConfigOption = None,
    timeout_s: TimeoutOption = 30.0,
) -> None:
    """Count the dead letters by reason and stage, and list the newest.

    All that the topic holds is read to its end, in bounded memory.
    """
    from pipeline.cli.dead_letters.output import print_json, print_tables
    from pipeline.cli.dead_letters.rows import DeadLetterRows

    wanted = _filter(reason, stage, since, from_, to)
    kafka = kafka_or_exit(config, bootstrap)
    rows = DeadLetterRows(limit)
    with _failing_with_1(), _progress() as on_read:
        from pipeline.runtime.kafka.dead_letter_log import read_log
        from pipeline.runtime.kafka.topic_reader import TopicReader
        from topics import DEAD_LETTERS

        with TopicReader(kafka, timeout_s) as reader:
            for number, entry in enumerate(read_log(reader), 1):
                rows.add(entry, wanted)
                if number % 1000 == 0:
                    on_read(DEAD_LETTERS, number)
    with reader_may_leave():
        (print_json if as_json else print_tables)(rows)


@app.command()
def show(
    place: Annotated[str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET", help="The record, as `list` names it.")],
    *,
    raw: Annotated[
        bool, typer.Option("--raw", help="Write the original bytes alone, of several dead letters one after the other.")
    ] = False,
    bootstrap: BootstrapOption = None,
    config: ConfigOption = None,
    timeout_s: TimeoutOption = 30.0,
) -> None:
    """Show every dead letter of one record with its original bytes: as text, or in hexadecimal where they are none."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}/[0-9]{1,10}/[0-9]{1,19}", place):
        raise typer.BadParameter(f"{place!r} must be TOPIC/PARTITION/OFFSET, as in metrics.raw/3/17")
    from pipeline.cli.dead_letters.output import print_dead_letter

    kafka = kafka_or_exit(config, bootstrap)
    shown: set[str] = set()
    with _failing_with_1(), reader_may_leave():
        from pipeline.runtime.kafka.dead_letter_log import StoredDeadLetter, read_log
        from pipeline.runtime.kafka.topic_reader import TopicReader

        with TopicReader(kafka, timeout_s) as reader:
            for entry in read_log(reader):
                if not isinstance(entry, StoredDeadLetter) or entry.dead_letter.key() != place or _seen(entry, shown):
                    continue
                if raw:
                    sys.stdout.buffer.write(entry.dead_letter.value)
                else:
                    print_dead_letter(entry)
    if not shown:
        typer.echo(f"{place} has no dead letter.", err=True)
        raise typer.Exit(1)


@app.command()
def replay(
    *,
    reason: ReasonOption = None,
    stage: StageOption = None,
    since: SinceOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="Replay so many at most.")] = 10_000,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    bootstrap: BootstrapOption = None,
    config: ConfigOption = None,
    timeout_s: TimeoutOption = 30.0,
) -> None:
    """Produce the original bytes of dead letters again, to the topic and partition that they came from.

    Without --reason those that can have become good by themselves: TIMESTAMP_FUTURE and STORE_REJECTED. TOO_LATE and
    UNREADABLE_BATCH are never replayed.

    A dead letter is replayed once, however often this runs: what was replayed is marked in dead-letters, and what an
    interrupted run announced and did not mark is looked for in the dead letter's own topic before it is produced. For
    five minutes after an interruption such dead letters are left alone; where retention has deleted what would tell,
    they are left alone for good and counted as in doubt. Run one replay at a time. A replayed sample whose window is
    closed and not kept any more is too late, as any other.

    Exit status 1 when dead letters could not be replayed for want of something.
    """
    from pipeline.core.records.dead_letter_replay import LEFT_FOR_LATER, NEVER_REPLAYED, REPLAYED_BY_DEFAULT, Fate

    for each in reason or []:
        if each in NEVER_REPLAYED:
            raise typer.BadParameter(f"{each} is never replayed: {NEVER_REPLAYED[each]}", param_hint="--reason")
    wanted = _filter(reason or sorted(REPLAYED_BY_DEFAULT), stage, since, from_, to)
    if not (dry_run or yes or sys.stdin.isatty()):
        raise typer.BadParameter("nobody can be asked here: give --yes or --dry-run", param_hint="--yes")
    now_ms = time.time_ns() // 1_000_000
    with _failing_with_1():
        with _progress() as on_read:
            replaying = _replay(config, bootstrap, timeout_s, on_read)
            fates = replaying.run(wanted, limit=limit, now_ms=now_ms, dry_run=not yes or dry_run)
        if not (yes or dry_run) and fates[Fate.REPLAYED]:
            _print_fates(fates, would=True)
            typer.confirm("Replay them?", abort=True, err=True)
            with _progress() as on_read:
                fates = _replay(config, bootstrap, timeout_s, on_read).run(wanted, limit=limit, now_ms=now_ms)
    with reader_may_leave():
        _print_fates(fates, would=dry_run)
    if any(fates[fate] for fate in LEFT_FOR_LATER):
        raise typer.Exit(1)


def register(root: typer.Typer) -> None:
    """Add ``dead-letters`` to the program's commands."""
    root.add_typer(app, name="dead-letters")


def _replay(
    config: Path | None, bootstrap: str | None, timeout_s: float, on_read: Callable[[str, int], None]
) -> "DeadLetterReplay":
    from pipeline.runtime.kafka.dead_letter_replay import DeadLetterReplay
    from pipeline.runtime.kafka.settings import KafkaSettings
    from pipeline.stages.dead_letters import MAX_VALUE_BYTES
    from pipeline.stages.raw_input import parse_options

    settings = settings_or_exit(config, bootstrap)
    return DeadLetterReplay(
        settings[KafkaSettings],
        parse_options(settings),
        max_value_bytes=MAX_VALUE_BYTES,
        timeout_s=timeout_s,
        on_read=on_read,
    )


def _filter(
    reasons: list[DeadLetterReason] | None, stage: str | None, since: str | None, from_: str | None, to: str | None
) -> "Callable[[StoredDeadLetter], bool]":
    now_ms = time.time_ns() // 1_000_000
    if since is not None and from_ is not None:
        raise typer.BadParameter("give one of --since and --from", param_hint="--since")
    try:
        end_ms = None if to is None else moment_ms(to, now_ms=now_ms)
        start_ms = None if from_ is None else moment_ms(from_, now_ms=now_ms)
        if since is not None:
            start_ms = now_ms - duration_ms(since)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    accepted = frozenset(reasons or DeadLetterReason)

    def wanted(stored: "StoredDeadLetter") -> bool:
        dead_letter = stored.dead_letter
        return (
            dead_letter.reason in accepted
            and stage in {None, dead_letter.stage}
            and (start_ms is None or stored.time_ms >= start_ms)
            and (end_ms is None or stored.time_ms < end_ms)
        )

    return wanted


def _seen(entry: "StoredDeadLetter", shown: set[str]) -> bool:
    """Return whether a dead letter was shown before, as one that a restart wrote twice, and note it."""
    name = f"{entry.dead_letter.stage}/{entry.dead_letter.reason}/{entry.name}"
    if name in shown:
        return True
    shown.add(name)
    return False


def _print_fates(fates: "Counter[Fate]", *, would: bool) -> None:
    from pipeline.core.records.dead_letter_replay import Fate

    typer.echo(f"{fates[Fate.REPLAYED]} dead letters {'would be ' if would else ''}replayed")
    for fate in Fate:
        if fate is not Fate.REPLAYED and fates[fate]:
            typer.echo(f"{fates[fate]} left alone: {fate}")


@contextmanager
def _failing_with_1() -> Iterator[None]:
    """End the program with one line and exit status 1 where Kafka or the settings say no."""
    from pipeline.runtime.kafka.dead_letter_replay import ReplayError
    from pipeline.runtime.kafka.topic_reader import TopicReadError
    from pipeline.settings.base import SettingsError

    try:
        yield
    except (ReplayError, SettingsError, TopicReadError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


@contextmanager
def _progress() -> Iterator[Callable[[str, int], None]]:
    """Show how much was read, on standard error and only on a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _topic, _records: None
        return
    with console.status("reading") as status:
        yield lambda topic, records: status.update(f"reading {topic}: {records:,} records")

"""``cinnamon backtest``: when policies would have fired on a history, and what would have been notified."""

import sys
import time as clock
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

import topics
from pipeline.cli.kernels import ensure_kernels
from pipeline.cli.loading import BootstrapOption, ConfigOption, settings_or_exit
from pipeline.cli.output import reader_may_leave
from pipeline.cli.series.detect import zone_of
from pipeline.cli.times import duration_ms, moment_or_ago_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from confluent_kafka import Message

    from pipeline.cli.series.backtest_files import Backtest, CsvColumns, TopicRecord
    from pipeline.core.triggers.evaluator import TriggerSeries
    from pipeline.core.windows.rules import WindowRules
    from pipeline.settings.model import Settings
    from schemas.alert import AlertEvent
    from schemas.trigger_policy import TriggerPolicy

__all__ = ["register"]

_BAD_DATA: Final = 1
_TIME, _VALUE = "timestamp", "value"
_NOT_YET: Final = frozenset(("anomaly",))
"""What policies may be on that no file has."""


def backtest(
    *,
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE...", help="CSV, or line protocol or JSON.")
    ] = None,
    policy_files: Annotated[
        list[Path], typer.Option("--policy", metavar="PATH", help="A file of policies; may stand several times.")
    ],
    time: Annotated[
        str | None, typer.Option("--time", metavar="COL", help=f"The column of times in CSV. [default: {_TIME}]")
    ] = None,
    value: Annotated[
        str | None, typer.Option("--value", metavar="COL", help=f"The column of values in CSV. [default: {_VALUE}]")
    ] = None,
    zone: Annotated[
        str, typer.Option("--zone", metavar="ZONE", help="Time zone of times in CSV without offset.")
    ] = "UTC",
    every: Annotated[str, typer.Option("--every", metavar="TIME", help="Size of windows, for on: window.")] = "60s",
    everything: Annotated[
        bool, typer.Option("--all", help="Print each change of state, also what nobody would be notified of.")
    ] = False,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Read Kafka from then on: ISO 8601, ms, or 1h ago.")
    ] = None,
    to: Annotated[str, typer.Option("--to", metavar="TIME", help="Until then.")] = "now",
    bootstrap: BootstrapOption = None,
    config: ConfigOption = None,
) -> None:
    """Print the alert records that policies would have led to, one JSON object a line, by time.

    A file is CSV if its name ends in .csv, or --time or --value is given: each is a series of its own, with the
    measurement csv and the value column as its field. Its rows are taken in their order. Other files are line protocol
    or Telegraf's JSON. With --from it is the records of metrics.raw that Kafka has of that time.

    A policy is taken as if it were enabled. A summary, and what could not be used, go to standard error. Exit status 1
    if anything could not be used, or no policy matches any series.
    """
    ensure_kernels()
    from pipeline.cli.series.backtest_files import Backtest, CsvColumns
    from pipeline.core.triggers.evaluator import PolicyEvaluator

    if bool(files) == (from_ is not None):
        raise typer.BadParameter("give FILE, or --from for what Kafka has", param_hint="FILE")
    policies = _policies(policy_files)
    columns = CsvColumns(time or _TIME, value or _VALUE, zone_of(zone))
    evaluator = PolicyEvaluator()
    for policy in policies:
        evaluator.put_policy(policy.model_copy(update={"enabled": True}), at_ms=0)
    history = Backtest(evaluator, _rules(every))
    status = 0
    for path in files or ():
        is_csv = time is not None or value is not None or path.suffix.lower() == ".csv"
        status |= _read(history, path, columns if is_csv else None)
    if from_ is not None:
        status = _read_kafka(history, from_, to, settings_or_exit(config, bootstrap))
    events = history.finish()
    with reader_may_leave():
        for event in events:
            if event.notify or everything:
                sys.stdout.buffer.write(event.to_json() + b"\n")
    typer.echo(f"{history.samples:,} samples of {len(history.names):,} series", err=True)
    for policy in policies:
        typer.echo(_summary(policy, history.names, events), err=True)
    late = evaluator.counts.late
    if late:
        typer.echo(f"{late:,} samples were older than one before them, and changed nothing: sort the file?", err=True)
    raise typer.Exit(status if evaluator.alert_count else _BAD_DATA)


def register(root: typer.Typer) -> None:
    """Add ``backtest`` to the program's commands."""
    root.command()(backtest)


def _policies(paths: list[Path]) -> "list[TriggerPolicy]":
    """Return the trigger policies of files, with a word about what plays no part in them."""
    from pipeline.cli.policy_files import PolicyFilesError, read_policies
    from pipeline.core.policies import policy_of
    from schemas.trigger_policy import TriggerPolicy

    try:
        found = read_policies(paths)
    except PolicyFilesError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(_BAD_DATA) from error
    policies = []
    for each in found:
        policy = policy_of(each.kind, each.value)
        if not isinstance(policy, TriggerPolicy):
            continue
        if policy.on in _NOT_YET:
            typer.echo(f"{policy.id}: on {policy.on} cannot be tested on files", err=True)
        if policy.unused:
            typer.echo(f"{policy.id}: of no use with on: {policy.on}: {', '.join(policy.unused)}", err=True)
        policies.append(policy)
    if not policies:
        typer.echo("there is no trigger policy in the files", err=True)
        raise typer.Exit(_BAD_DATA)
    return policies


def _rules(every: str) -> "WindowRules":
    from pipeline.core.records.identity.interning import WindowRule
    from pipeline.core.windows.rules import WindowRules

    try:
        every_ms = duration_ms(every)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--every") from error
    return WindowRules(WindowRule(every_ms, 10_000, 60_000))


def _read(history: "Backtest", path: Path, columns: "CsvColumns | None") -> int:
    """Take a file; give the exit status."""
    from pipeline.cli.series.files import SeriesFileError

    status = 0
    try:
        if columns is not None:
            history.read_csv(path, columns)
        else:
            for mistake in history.read_records(path):
                typer.echo(mistake, err=True)
                status = _BAD_DATA
    except SeriesFileError as error:
        typer.echo(str(error), err=True)
        return _BAD_DATA
    return status


def _read_kafka(history: "Backtest", from_: str, to: str, settings: "Settings") -> int:
    """Take what metrics.raw has of a period, by the time that Kafka gave the records; give the exit status."""
    from pipeline.runtime.kafka.settings import KafkaSettings
    from pipeline.runtime.kafka.topic_reader import TopicReader, TopicReadError

    now_ms = clock.time_ns() // 1_000_000
    start_ms, end_ms = _moment(from_, now_ms, "--from"), _moment(to, now_ms, "--to")
    try:
        with TopicReader(settings[KafkaSettings]) as reader:
            starts = reader.starts_at(topics.METRICS_RAW, start_ms)
            refused = history.read_topic(_records(reader.read(topics.METRICS_RAW, starts), start_ms, end_ms))
    except TopicReadError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(_BAD_DATA) from error
    if refused:
        typer.echo(f"{refused:,} records, or lines of them, cannot be read: they are among the dead letters", err=True)
    return 0


def _records(messages: "Iterable[Message]", start_ms: int, end_ms: int) -> "Iterator[TopicRecord]":
    """Yield what the stage would take: those without a key come again with one."""
    from pipeline.cli.series.backtest_files import TopicRecord

    for message in messages:
        _, time_ms = message.timestamp()
        value = message.value()
        if value is not None and message.key() is not None and start_ms <= time_ms < end_ms:
            yield TopicRecord(message.partition() or 0, message.offset() or 0, time_ms, value)


def _moment(text: str, now_ms: int, option: str) -> int:
    try:
        return moment_or_ago_ms(text, now_ms=now_ms)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _summary(policy: "TriggerPolicy", names: "Sequence[TriggerSeries]", events: "Sequence[AlertEvent]") -> str:
    """Return what a policy came to: how many notifications, and why; or why it matches nothing."""
    from pipeline.core.triggers.matching import Selector

    selector = Selector(policy)
    refused = [selector.mismatch(name) for name in names] if policy.on in {"sample", "silence"} else []
    if refused and all(refused):
        return f"{policy.id}: matches none of the series: {refused[0]}"
    mine = [event for event in events if event.policy == policy.id]
    notified = [event for event in mine if event.notify]
    counts = Counter(event.reason.value for event in notified)
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    still_open = sum(event.level is not None for event in {event.alert_id: event for event in mine}.values())
    would = f"would have notified {len(notified)} times" + (f": {reasons}" if notified else "")
    return f"{policy.id}: {would}; {still_open} not over at the end"

"""``cinnamon backtest``: when policies would have fired on a history, and what would have been told."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipeline.cli.detect import zone_of
from pipeline.cli.output import reader_may_leave
from pipeline.cli.times import duration_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.cli.backtest_files import Backtest, CsvColumns
    from pipeline.core.triggers import SeriesName
    from pipeline.core.window_rules import WindowRules
    from schemas.alert import AlertEvent
    from schemas.trigger_policy import TriggerPolicy

__all__ = ["register"]

_BAD_DATA: Final = 1
_TIME, _VALUE = "timestamp", "value"
_NOT_YET: Final = frozenset(("anomaly", "forecast"))
"""What policies may be on that no file has."""


def backtest(
    *,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="CSV, or line protocol or JSON.")],
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
        bool, typer.Option("--all", help="Print each change of state, also what nobody would be told.")
    ] = False,
) -> None:
    """Print the alert records that policies would have led to, one JSON object a line, by time.

    A file is CSV if its name ends in .csv, or --time or --value is given: each is a series of its own, with the
    measurement csv and the value column as its field. Its rows are taken in their order. Other files are line protocol
    or Telegraf's JSON.

    A policy is taken as if it were enabled. A summary, and what could not be used, go to standard error. Exit status 1
    if anything could not be used, or no policy matches any series.
    """
    from pipeline.cli.backtest_files import Backtest, CsvColumns
    from pipeline.core.triggers import TriggerBank

    policies = _policies(policy_files)
    columns = CsvColumns(time or _TIME, value or _VALUE, zone_of(zone))
    bank = TriggerBank()
    for policy in policies:
        bank.put_policy(policy.model_copy(update={"enabled": True}), at_ms=0)
    history = Backtest(bank, _rules(every))
    status = 0
    for path in files:
        is_csv = time is not None or value is not None or path.suffix.lower() == ".csv"
        status |= _read(history, path, columns if is_csv else None)
    events = history.finish()
    with reader_may_leave():
        for event in events:
            if event.notify or everything:
                sys.stdout.buffer.write(event.to_json() + b"\n")
    typer.echo(f"{history.samples:,} samples of {len(history.names):,} series", err=True)
    for policy in policies:
        typer.echo(_summary(policy, history.names, events), err=True)
    late = bank.counts.late
    if late:
        typer.echo(f"{late:,} samples were older than one before them, and changed nothing: sort the file?", err=True)
    raise typer.Exit(status if bank.alert_count else _BAD_DATA)


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
    from pipeline.core.series import WindowRule
    from pipeline.core.window_rules import WindowRules

    try:
        every_ms = duration_ms(every)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--every") from error
    return WindowRules(WindowRule(every_ms, 10_000, 60_000))


def _read(history: "Backtest", path: Path, columns: "CsvColumns | None") -> int:
    """Take a file; give the exit status."""
    from pipeline.cli.series_files import SeriesFileError

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


def _summary(policy: "TriggerPolicy", names: "Sequence[SeriesName]", events: "Sequence[AlertEvent]") -> str:
    """Return what a policy came to: how often one would have been told, and why; or why it matches nothing."""
    from pipeline.core.trigger_matching import Selector

    selector = Selector(policy)
    refused = [selector.mismatch(name) for name in names] if policy.on in {"sample", "silence"} else []
    if refused and all(refused):
        return f"{policy.id}: matches none of the series: {refused[0]}"
    mine = [event for event in events if event.policy == policy.id]
    told = [event for event in mine if event.notify]
    counts = Counter(event.reason.value for event in told)
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    still_open = sum(event.level is not None for event in {event.alert_id: event for event in mine}.values())
    would = f"would have told {len(told)} times" + (f": {reasons}" if told else "")
    return f"{policy.id}: {would}; {still_open} not over at the end"

"""``cinnamon audit``: whether every sample of a period is accounted for."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import typer

from pipeline.cli.kernels import ensure_kernels
from pipeline.cli.loading import BootstrapOption, ConfigOption, settings_or_exit
from pipeline.cli.output import reader_may_leave
from pipeline.cli.times import moment_or_ago_ms

__all__ = ["register"]

_REFUTED: Final = 1
_CANNOT: Final = 2
_UNDECIDED: Final = 3


def audit(
    *,
    from_: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Windows that start then or later: ISO 8601, ms, or 1h ago.")
    ] = "1h",
    to: Annotated[str, typer.Option("--to", metavar="TIME", help="Windows that start before then.")] = "5m",
    deep: Annotated[
        bool, typer.Option("--deep", help="Compute the windows again, and compare values and stores too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    bootstrap: BootstrapOption = None,
    config: ConfigOption = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout-s", min=0.1, max=600.0, help="Seconds that Kafka may say nothing.")
    ] = 30.0,
) -> None:
    """Prove or refute that every sample of a period is in a window, too late, filtered or dead-lettered.

    Reads metrics.raw, metrics.agg, dead-letters and checkpoints, and counts anew; with --deep it computes the windows
    again, and compares their values with metrics.agg and the stores. Give it the worker's settings: what
    they say of windows and parsing is what is checked against.

    Exit status 0: proved. 1: refuted, and the first offender is named. 2: bad use, or Kafka cannot be reached. 3:
    undecided, as the worker has not processed everything yet, Kafka has deleted records, or there is nothing to check.
    """
    ensure_kernels()
    from pipeline.cli.audit_output import print_report
    from pipeline.runtime.kafka.topic_reader import TopicReadError
    from pipeline.runtime.state.checkpoints import CheckpointReadError
    from pipeline.settings.base import SettingsError
    from pipeline.stores.base import StoreUnavailable

    now_ms = time.time_ns() // 1_000_000
    start_ms, end_ms = _moment(from_, now_ms, "--from"), _moment(to, now_ms, "--to")
    if start_ms >= end_ms:
        raise typer.BadParameter("the period is empty: --from must be before --to", param_hint="--from")
    try:
        settings = settings_or_exit(config, bootstrap)
    except typer.Exit as error:
        raise typer.Exit(_CANNOT) from error
    try:
        with _progress() as on_read:
            from pipeline.audit.run import Audit

            auditing = Audit(
                settings, start_ms=start_ms, end_ms=end_ms, deep=deep, timeout_s=timeout_s, on_read=on_read
            )
            report = auditing.run()
    except (TopicReadError, CheckpointReadError, SettingsError, StoreUnavailable) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(_CANNOT) from error
    with reader_may_leave():
        if as_json:
            typer.echo(json.dumps(report.document(), ensure_ascii=False))
        else:
            print_report(report)
    raise typer.Exit({"proved": 0, "refuted": _REFUTED, "undecided": _UNDECIDED}[report.status])


def register(root: typer.Typer) -> None:
    """Add ``audit`` to the program's commands."""
    root.command()(audit)


def _moment(text: str, now_ms: int, option: str) -> int:
    try:
        return moment_or_ago_ms(text, now_ms=now_ms)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show a bar for each topic and store that is read, on standard error and only on a terminal."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    console = Console(stderr=True)
    tasks: dict[str, TaskID] = {}
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:

        def show(what: str, read: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=read, total=total)

        yield show

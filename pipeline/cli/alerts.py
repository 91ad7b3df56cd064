"""``cinnamon alerts``: what fired, changed and ended, from the topic ``alerts``; or what is open now."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pipeline.cli.loading import BootstrapOption, ConfigOption, kafka_or_exit
from pipeline.cli.output import reader_may_leave
from pipeline.cli.signals import ending_by_signals
from pipeline.cli.times import duration_ms
from schemas.severity import LevelName, Severity

if TYPE_CHECKING:
    from pipeline.runtime.kafka.alert_table import AlertTable
    from schemas.alert import AlertEvent

__all__ = ["register"]

_POLL_S: Final = 0.1
_MOST_AT_ONCE: Final = 1000
_OVER: Final = ("OK", "PENDING")
"""States that are none of an open alert."""

Wanted = Callable[["AlertEvent"], bool]


def alerts(
    *,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with each alert as it comes, until Ctrl-C.")] = False,
    is_open: Annotated[
        bool, typer.Option("--open", help="Only alerts that are open: the newest state of each.")
    ] = False,
    level: Annotated[
        LevelName | None, typer.Option("--level", help="Only from this level on; what ended such a level counts.")
    ] = None,
    policy: Annotated[str | None, typer.Option("--policy", metavar="ID", help="Only of this policy.")] = None,
    resource: Annotated[
        str | None, typer.Option("--resource", metavar="NS/INFRA/NODE", help="Only of this resource.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DURATION", help="Only what happened so long ago at most: 15m, 1h.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also what notifies nobody: pending, recovering, the start of flapping.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="So many, the newest.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each, as on the topic.")] = False,
    bootstrap: BootstrapOption = None,
    config: ConfigOption = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout-s", min=0.1, max=600.0, help="Seconds that Kafka may say nothing.")
    ] = 30.0,
) -> None:
    """Print alerts: when, how serious, which policy, of what, and why.

    The topic is read to its end. An event that a restart wrote twice is printed once. Exit status: 0, also after
    Ctrl-C; 1 if Kafka or the topic cannot be reached.
    """
    if is_open and follow:
        raise typer.BadParameter("--open and --follow exclude each other", param_hint="--open")
    wanted = _filter(level, policy, resource, since, notified_only=not every and not is_open)
    kafka = kafka_or_exit(config, bootstrap)

    from pipeline.runtime.kafka.alert_table import AlertTable, AlertTableError
    from pipeline.settings.base import SettingsError

    show = _print_json if as_json else _print_line
    log = AlertTable(kafka, "alerts-command")
    try:
        with ending_by_signals() as ending, reader_may_leave():
            log.start({}, timeout_s)
            events = _Events(log)
            found = events.until_end(ending.stop, timeout_s)
            newest = _open(found) if is_open else found
            for event in deque((event for event in newest if wanted(event)), maxlen=limit):
                show(event)
            while follow and not ending.stop.is_set():
                for event in filter(wanted, events.next()):
                    show(event)
                ending.stop.wait(_POLL_S)
    except (AlertTableError, SettingsError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    finally:
        log.close()


def register(root: typer.Typer) -> None:
    """Add ``alerts`` to the program's commands."""
    root.command()(alerts)


class _Events:
    """The events of a log, each once, with the newest number of each alert known."""

    def __init__(self, log: "AlertTable") -> None:
        self._log = log
        self._sequence: dict[str, int] = {}

    def until_end(self, stop: Event, timeout_s: float) -> "Iterable[AlertEvent]":
        """Yield what the topic holds now.

        Raises
        ------
        AlertTableError
            When nothing comes for the time-out, though the end is not reached.
        """
        from pipeline.runtime.kafka.alert_table import AlertTableError

        heard_s = time.monotonic()
        while not stop.is_set() and not self._log.is_caught_up:
            found = self.next()
            yield from found
            if found:
                heard_s = time.monotonic()
            elif time.monotonic() - heard_s > timeout_s:
                raise AlertTableError(f"the alerts are not read to their end: Kafka says nothing for {timeout_s:g} s")
            else:
                stop.wait(_POLL_S)

    def next(self) -> "list[AlertEvent]":
        """Return what came since the last call; a record that is no event is passed over."""
        from schemas.alert import AlertEvent

        found = []
        for record in self._log.take(_MOST_AT_ONCE):
            try:
                event = AlertEvent.model_validate_json(record.value)
            except ValueError:
                continue
            if event.sequence > self._sequence.get(event.alert_id, 0):
                self._sequence[event.alert_id] = event.sequence
                found.append(event)
        return found


def _open(events: "Iterable[AlertEvent]") -> "list[AlertEvent]":
    """Return the newest event of each alert that is open, the most serious and newest last."""
    newest: dict[str, AlertEvent] = {}
    for event in events:
        newest[event.alert_id] = event
        if event.state in _OVER:
            del newest[event.alert_id]
    return sorted(newest.values(), key=lambda event: (Severity.of(event.level), event.time_ms))


def _filter(
    level: LevelName | None, policy: str | None, resource: str | None, since: str | None, *, notified_only: bool
) -> Wanted:
    try:
        from_ms = None if since is None else time.time_ns() // 1_000_000 - duration_ms(since)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from error
    least = Severity.of(level)

    def wanted(event: "AlertEvent") -> bool:
        return (
            (event.notify or not notified_only)
            and max(Severity.of(event.level), Severity.of(event.previous_level)) >= least
            and policy in {None, event.policy}
            and resource in {None, event.resource}
            and (from_ms is None or event.time_ms >= from_ms)
        )

    return wanted


def _print_line(event: "AlertEvent") -> None:
    typer.echo(alert_line(event))


def _print_json(event: "AlertEvent") -> None:
    document: dict[str, Any] = event.model_dump(mode="json")
    typer.echo(json.dumps(document, ensure_ascii=False))


def alert_line(event: "AlertEvent") -> str:
    """Return an event as a line for readers."""
    at = datetime.fromtimestamp(event.time_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return f"{at}  {event.level or 'ok':8s}  {event.policy}  {event.text}"

"""``cinnamon simulate``: a fleet of virtual machines that sends its metrics to Kafka."""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.loading import BootstrapOption, ConfigOption, kafka_or_exit
from pipeline.cli.times import duration_ms, moment_ms

if TYPE_CHECKING:
    from types import FrameType

    from pipeline.sources.fleet.incidents import Incident
    from pipeline.sources.kafka_output import Delivery

_DEFAULT_INTERVAL_MS = 10_000
_PROGRESS_EVERY_S = 1.0


def simulate(
    *,
    hosts: Annotated[int, typer.Option("--hosts", min=1, max=200_000, help="How many virtual machines.")] = 50,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            min=0.0,
            max=10_000_000.0,
            help="Messages a second, 0 for as many as possible. By default as many as the interval gives; given "
            "without --interval, the interval follows, so that the fleet's time keeps up with the clock.",
            show_default="6 a host and interval",
        ),
    ] = None,
    bootstrap: BootstrapOption = None,
    interval: Annotated[
        str | None,
        typer.Option("--interval", metavar="DURATION", help="Time between two measurements.", show_default="10s"),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option(
            "--duration", metavar="DURATION", help="How much of the fleet's time to send.", show_default="no end"
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed makes the same fleet.")] = 1,
    truth: Annotated[
        Path | None, typer.Option("--truth", metavar="FILE", help="Where to write the incidents, as JSON lines.")
    ] = None,
    start: Annotated[
        str, typer.Option("--start", metavar="MOMENT", help="The fleet's first moment: now, ISO 8601 or milliseconds.")
    ] = "now",
    message_format: Annotated[
        Literal["influx", "json"], typer.Option("--format", help="Line protocol or Telegraf's JSON.")
    ] = "influx",
    delivery_timeout: Annotated[
        str, typer.Option("--delivery-timeout", metavar="DURATION", help="How long the broker may take for a message.")
    ] = "30s",
    config: ConfigOption = None,
) -> None:
    """Send the metrics of a simulated fleet to metrics.raw: daily load, noise, steps, jobs, counters and incidents.

    Progress goes to standard error, a summary to standard output. Ctrl-C delivers what was sent and ends with status 0.
    """
    from pipeline.settings.base import SettingsError
    from pipeline.sources.base import SourceOptions
    from pipeline.sources.factory import SOURCES
    from pipeline.sources.fleet.fleet import MESSAGES_PER_HOST
    from pipeline.sources.kafka_output import KafkaOutput, Pace
    from topics import METRICS_RAW

    try:
        interval_ms = _interval_ms(interval, rate, messages=hosts * MESSAGES_PER_HOST)
        ticks = None if duration is None else max(-(-duration_ms(duration) // interval_ms), 1)
        start_ms = _start_ms(start, interval_ms)
        timeout_s = duration_ms(delivery_timeout) / 1000
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    try:
        connection = kafka_or_exit(config, bootstrap).librdkafka()
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    with ExitStack() as stack:
        on_incident = stack.enter_context(_truth(truth))
        try:
            fleet = SOURCES["fleet"].open(
                SourceOptions(
                    interval_ms=interval_ms,
                    start_ms=start_ms,
                    hosts=hosts,
                    seed=seed,
                    message_format=message_format,
                    on_incident=on_incident,
                )
            )
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        stop = stack.enter_context(_stopped_by_signals())
        output = KafkaOutput(METRICS_RAW, connection, stop=stop, delivery_timeout_s=timeout_s)
        delivery = output.send(islice(fleet.batches(stop), ticks), Pace(rate), on_progress=_Progress())
    typer.echo(_summary(delivery))
    if delivery.failed or delivery.undelivered:
        typer.echo(f"not delivered: {delivery.first_failure or 'the broker did not answer in time'}", err=True)
        raise typer.Exit(1)


def register(root: typer.Typer) -> None:
    """Add ``simulate`` to the program's commands."""
    root.command("simulate")(simulate)


def _interval_ms(interval: str | None, rate: float | None, *, messages: int) -> int:
    """Return the time between ticks: as given, else what the rate takes for one tick's messages."""
    if interval is not None:
        return duration_ms(interval)
    if rate:
        return max(int(messages * 1000 / rate), 1)
    return _DEFAULT_INTERVAL_MS


def _start_ms(start: str, interval_ms: int) -> int:
    """Return the first tick; from now on it is the last one before now on the grid, as agents round it."""
    now_ms = time.time_ns() // 1_000_000
    start_ms = moment_ms(start, now_ms=now_ms)
    return start_ms - start_ms % interval_ms if start.strip() == "now" else start_ms


@contextmanager
def _truth(path: Path | None) -> "Iterator[Callable[[Incident], None] | None]":
    """Open the file for the incidents; each is there as soon as it begins."""
    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"cannot write {path}: {error.strerror}", param_hint="--truth") from error
    with file:

        def write(incident: "Incident") -> None:
            file.write(json.dumps(incident.as_truth()) + "\n")
            file.flush()

        yield write


@contextmanager
def _stopped_by_signals() -> Iterator[Event]:
    """Return an event that SIGINT and SIGTERM set, in place of ending the program."""
    stop = Event()

    def set_stop(_number: int, _frame: "FrameType | None") -> None:
        stop.set()

    before = {number: signal.signal(number, set_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Progress:
    """Prints a line a second to standard error: over the last one on a terminal, below it elsewhere."""

    def __init__(self) -> None:
        self._next_s = _PROGRESS_EVERY_S
        self._last_sent = 0
        self._last_s = 0.0

    def __call__(self, delivery: "Delivery") -> None:
        if delivery.elapsed_s < self._next_s:
            return
        rate = (delivery.sent - self._last_sent) / (delivery.elapsed_s - self._last_s)
        self._last_sent, self._last_s = delivery.sent, delivery.elapsed_s
        self._next_s = delivery.elapsed_s + _PROGRESS_EVERY_S
        on_terminal = sys.stderr.isatty()
        failed = f", {delivery.failed} failed" if delivery.failed else ""
        text = f"{delivery.elapsed_s:.0f} s: {delivery.sent} messages, {rate:.0f}/s{failed}"
        typer.echo(f"\r{text:<70}" if on_terminal else text, err=True, nl=not on_terminal)


def _summary(delivery: "Delivery") -> str:
    rate = delivery.sent / delivery.elapsed_s if delivery.elapsed_s > 0 else 0.0
    return (
        f"sent {delivery.sent}, delivered {delivery.delivered}, failed {delivery.failed}, "
        f"undelivered {delivery.undelivered} in {delivery.elapsed_s:.1f} s ({rate:.0f}/s)"
    )

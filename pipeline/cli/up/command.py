"""``cinnamon up``: the whole pipeline on this machine, with nothing installed but the package."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.kernels import ensure_kernels
from pipeline.cli.output import reader_may_leave
from pipeline.cli.times import duration_ms

if TYPE_CHECKING:
    from pipeline.cli.up.local_pipeline import LocalTiming
    from pipeline.cli.up.output import Output

_LONGEST_INTERVAL_MS = 10_000
_DEFAULT_DIRECTORY = Path(".cinnamon")


def up(
    *,
    simulate: Annotated[
        int | None,
        typer.Option(
            "--simulate",
            metavar="N",
            min=1,
            max=200_000,
            help="A simulated fleet of so many hosts.",
            show_default="this machine's own metrics",
        ),
    ] = None,
    every: Annotated[str, typer.Option("--every", metavar="DURATION", help="Size of a window.")] = "60s",
    interval: Annotated[
        str | None,
        typer.Option(
            "--interval",
            metavar="DURATION",
            help="Time between two measurements.",
            show_default="a fifth of the window, at most 10s",
        ),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option(
            "--duration", metavar="DURATION", help="How long to run, once all is started.", show_default="until Ctrl-C"
        ),
    ] = None,
    directory: Annotated[
        Path,
        typer.Option("--data", metavar="DIR", help="Folder for the store, the incidents, logs and settings."),
    ] = _DEFAULT_DIRECTORY,
    truth: Annotated[
        Path | None,
        typer.Option(
            "--truth",
            metavar="FILE",
            help="Where to write the incidents, as JSON lines.",
            show_default="truth.jsonl in the folder, added to",
        ),
    ] = None,
    web_port: Annotated[
        int, typer.Option("--web-port", min=0, max=65535, help="Port of the worker's metrics; 0: a free one.")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed makes the same fleet.")] = 1,
    no_view: Annotated[
        bool, typer.Option("--no-view", help="A line now and then; so it is too where there is no terminal.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Run broker, worker, stores, the control service and a source of metrics on this machine, and watch.

    The broker keeps its records in memory, about 0.3 kB each, until the end; windows stay in the store. Settings files
    and CINNAMON_* are not read.
    Ctrl-C lets what was sent be finished, and again leaves at once. Exit status: 0, or 1 if a part fails.
    """
    from pipeline.cli.signals import ending_by_signals
    from pipeline.cli.up.local_source import open_truth
    from pipeline.cli.up.session import Session, SessionOptions
    from pipeline.runtime.local.child_process import ChildFailedError
    from pipeline.runtime.local.embedded_broker import free_port
    from pipeline.runtime.observability.logs import configure_logging
    from pipeline.sources.base import SourceOptions

    timing = _timing(every, interval)
    duration_or_none_ms = None if duration is None else _duration_ms(duration, "--duration")
    with ExitStack() as stack:
        folder = _folder(directory)
        stack.enter_context(_locked(folder))
        truth_path = folder / "truth.jsonl" if truth is None else truth
        try:
            truth_file = stack.enter_context(open_truth(truth_path, keep=truth is None))
            configure_logging("info", "text", stack.enter_context((folder / "up.log").open("w", encoding="utf-8")))
        except OSError as error:
            raise typer.BadParameter(f"cannot write {error.filename}: {error.strerror}") from error
        options = SessionOptions(
            source="host" if simulate is None else "fleet",
            source_options=SourceOptions(interval_ms=timing.interval_ms, hosts=simulate or 1, seed=seed),
            timing=timing,
            duration_ms=duration_or_none_ms,
            directory=folder,
            truth_path=truth_path,
            web_port=web_port or free_port(),
            control_port=free_port(),
        )
        ensure_kernels()
        ending = stack.enter_context(ending_by_signals())
        stack.enter_context(reader_may_leave())
        output = _output(no_view=no_view, as_json=as_json)
        try:
            summary = Session(options, truth_file, output, stop=ending.stop, leave=ending.leave).run()
        except ChildFailedError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error
        output.end(summary)


def register(root: typer.Typer) -> None:
    """Add ``up`` to the program's commands."""
    root.command("up")(up)


def _timing(every: str, interval: str | None) -> "LocalTiming":
    from pydantic import ValidationError

    from pipeline.cli.up.local_pipeline import LocalTiming
    from pipeline.stages.aggregate.settings import WindowsSettings

    every_ms = _duration_ms(every, "--every")
    try:
        WindowsSettings(every_s=every_ms / 1000)
    except ValidationError as error:
        text = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(f"{every!r} {text}", param_hint="--every") from error
    if interval is None:
        return LocalTiming(every_ms=every_ms, interval_ms=max(min(every_ms // 5, _LONGEST_INTERVAL_MS), 1))
    interval_ms = _duration_ms(interval, "--interval")
    if interval_ms > every_ms:
        raise typer.BadParameter(f"{interval!r} is longer than the window of {every}", param_hint="--interval")
    return LocalTiming(every_ms=every_ms, interval_ms=interval_ms)


def _duration_ms(text: str, option: str) -> int:
    try:
        return duration_ms(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _folder(wanted: Path) -> Path:
    """Return the folder for all files, made; where the default cannot be made, a temporary one that it tells of."""
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            return wanted
    except OSError as error:
        if wanted != _DEFAULT_DIRECTORY:
            raise typer.BadParameter(f"cannot write to {wanted}: {error.strerror}", param_hint="--data") from error
    instead = Path(tempfile.mkdtemp(prefix="cinnamon-"))
    typer.echo(f"the current directory cannot be written to: files go to {instead}", err=True)
    return instead


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep the folder to this process; end the program if another has it."""
    import fcntl

    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            typer.echo(f"another cinnamon up uses {folder}: give another folder with --data", err=True)
            raise typer.Exit(1) from error
        yield


def _output(*, no_view: bool, as_json: bool) -> "Output":
    from pipeline.cli.up.output import JsonOutput, LineOutput, LiveOutput

    if as_json and no_view:
        raise typer.BadParameter("--json and --no-view exclude each other")
    if as_json:
        return JsonOutput()
    return LineOutput() if no_view or not sys.stdout.isatty() else LiveOutput()

"""One run of ``cinnamon up``: start everything, watch it, let it finish, stop it."""

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Final, TextIO

from pipeline.cli.up.local_pipeline import LocalPipeline, LocalTiming
from pipeline.cli.up.local_source import LocalSource
from pipeline.cli.up.output import Output, Summary
from pipeline.cli.up.pipeline_state import PipelineState, RateMeter
from pipeline.cli.up.recent_alerts import RecentAlerts
from pipeline.cli.up.recent_windows import RecentWindows
from pipeline.cli.up.worker_client import WorkerUnreachableError
from pipeline.sources.base import SourceOptions

SHOW_EVERY_S: Final = 0.5
EXAMPLE_POLICIES: Final = Path(__file__).with_name("example_policies.yaml")
_SHORTEST_RATE_SPAN_S: Final = 5.0
_DRAIN_TIMEOUT_S: Final = 10.0  # until what was sent is read and what is closed is written
_LONGEST_CLOSE_S: Final = 30.0  # how long the last windows are waited for


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionOptions:
    """What a run is about."""

    source: str
    """Which source, of `SOURCES`."""
    source_options: SourceOptions
    timing: LocalTiming
    duration_ms: int | None
    """How long it goes on once the worker is ready; none: until the end is asked for."""
    directory: Path
    truth_path: Path
    web_port: int
    control_port: int


class Session:
    """Runs a local pipeline and its source.

    Parameters
    ----------
    options
        What is run.
    truth
        Where incidents are written; open for writing.
    output
        Where the run is shown.
    stop, leave
        Set when the end is asked for, and when it is asked for at once.
    """

    def __init__(self, options: SessionOptions, truth: TextIO, output: Output, *, stop: Event, leave: Event) -> None:
        timing = options.timing
        self._options = options
        self._output = output
        self._stop = stop
        self._leave = leave
        self._begun_s = time.monotonic()
        self._pipeline = LocalPipeline(
            options.directory,
            timing,
            web_port=options.web_port,
            control_port=options.control_port,
            policies=EXAMPLE_POLICIES,
        )
        self._source = LocalSource(options.source, options.source_options, truth)
        self._meter = RateMeter(max(_SHORTEST_RATE_SPAN_S, 2 * timing.every_ms / 1000))
        self._alerts = RecentAlerts()
        self._windows = RecentWindows(
            self._pipeline.store_path,
            every_ms=timing.every_ms,
            close_ms=timing.close_ms,
            since_ms=time.time_ns() // 1_000_000,
        )
        self._state = PipelineState(
            phase="starting",
            source=self._source.title,
            every_ms=timing.every_ms,
            interval_ms=timing.interval_ms,
            uptime_s=0.0,
            broker="(starting)",
            web_port=options.web_port,
            control_port=options.control_port,
            directory=str(options.directory),
        )

    def run(self) -> Summary:
        """Run until the end is asked for or the duration is over, and return what came of it.

        Raises
        ------
        ChildFailedError
            If a part cannot be started, ends by itself, or fails at the end.
        """
        with self._output, ExitStack() as stack:
            self._output.show(self._state)
            self._pipeline.start()
            stack.callback(self._source.stop)
            stack.enter_context(_killed_on_error(self._pipeline))
            self._source.start(self._pipeline.bootstrap_servers)
            self._alerts.start(self._pipeline.bootstrap_servers)
            stack.callback(self._alerts.close)
            self._state = replace(self._state, broker=self._pipeline.bootstrap_servers)
            if self._pipeline.wait_until_ready(self._stop, on_wait=self._show):
                self._state = replace(self._state, phase="running")
                self._watch()
            self._drain()
            self._alerts.close()
            if self._leave.is_set():
                self._pipeline.kill()
            else:
                self._pipeline.stop()
        delivery = self._source.delivery
        return Summary(
            state=replace(self._state, phase="ended"),
            delivered=delivery.delivered,
            failed=delivery.failed + delivery.undelivered,
            store_path=str(self._pipeline.store_path),
            truth_path=str(self._options.truth_path),
        )

    def _watch(self) -> None:
        duration_ms = self._options.duration_ms
        end_s = math.inf if duration_ms is None else time.monotonic() + duration_ms / 1000
        while not self._stop.is_set():
            self._observe()
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                return
            self._stop.wait(min(left_s, SHOW_EVERY_S))

    def _drain(self) -> None:
        """Stop the source, and wait a bounded time until everything it sent is read and written."""
        self._state = replace(self._state, phase="draining")
        self._observe()
        delivery = self._source.stop()
        is_over = not self._stop.is_set()  # the duration is, and nobody waits at the keyboard
        close_s = self._options.timing.close_ms / 1000
        await_windows = is_over and close_s <= _LONGEST_CLOSE_S
        deadline_s = time.monotonic() + _DRAIN_TIMEOUT_S + (close_s if await_windows else 0.0)
        while time.monotonic() < deadline_s and not self._leave.is_set():
            self._observe()
            counts = self._state.counts
            is_done = counts.records >= delivery.delivered and counts.is_all_written and counts.is_all_scored
            if is_done and (not await_windows or counts.open_samples == 0):
                return
            self._leave.wait(SHOW_EVERY_S / 2)

    def _observe(self) -> None:
        """Read what there is to know, and show it."""
        self._pipeline.raise_if_ended()
        self._source.raise_if_failed()
        try:
            counts = self._pipeline.client.counts()
        except WorkerUnreachableError:  # busy, or not listening yet: what is known stays
            counts = self._state.counts
        self._state = replace(
            self._state,
            counts=counts,
            rates=self._meter.add(time.monotonic(), counts),
            stored=self._windows.read(time.time_ns() // 1_000_000),
            alerts=self._alerts.read(),
            broker_memory_bytes=self._pipeline.broker_memory_bytes(),
        )
        self._show()

    def _show(self) -> None:
        self._state = replace(
            self._state,
            uptime_s=self._uptime_s(),
            sent=self._source.delivery.sent,
            incidents=self._source.incidents,
            incident_count=self._source.incident_count,
        )
        self._output.show(self._state)

    def _uptime_s(self) -> float:
        return time.monotonic() - self._begun_s


@contextmanager
def _killed_on_error(pipeline: LocalPipeline) -> Iterator[None]:
    """End a pipeline when an error passes by: a part of it is gone, so nothing can be finished."""
    try:
        yield
    except BaseException:
        pipeline.kill()
        raise

"""The three ways in which ``cinnamon up`` reports: a live view, a line now and then, JSON lines."""

import json
import shlex
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from rich.console import Console
from rich.live import Live

from pipeline.cli.alerts import alert_line
from pipeline.cli.up.live_view import render
from pipeline.cli.up.pipeline_state import PipelineState, balance_document

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from pipeline.cli.up.worker_client import WorkerCounts
    from schemas.alert import AlertEvent

LINE_EVERY_S: Final = 2.0
JSON_EVERY_S: Final = 1.0
_ALERTS_LISTED: Final = 10
"""At the end, the newest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What a run came to."""

    state: PipelineState
    """The last that is known."""
    delivered: int
    failed: int
    """Messages that the broker did not take."""
    store_path: str
    truth_path: str

    @property
    def is_complete(self) -> bool:
        """Whether every delivered message was read, every sample is accounted for and every window is written."""
        counts = self.state.counts
        return counts.records >= self.delivered and counts.missing_samples == 0 and counts.is_all_written

    def as_document(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "event": "summary",
            **self.state.as_document(),
            "delivered": self.delivered,
            "failed": self.failed,
            "complete": self.is_complete,
            "newest_alerts": [
                {"time_ms": each.time_ms, "policy": each.policy, "level": each.level, "resource": each.resource}
                for each in self.state.alerts
            ],
            "store": self.store_path,
            "truth": self.truth_path,
        }

    def as_text(self) -> str:
        """Return it as lines to read."""
        counts = self.state.counts
        failed = f", {self.failed:,} not delivered" if self.failed else ""
        lines = [
            f"{self.state.uptime_s:.0f} s, {self.state.source}, windows of {self.state.every_ms / 1000:g} s",
            f"records   {self.delivered:,} sent{failed}; {counts.records:,} read",
            f"samples   {balance_text(counts)}",
            f"windows   {counts.windows:,} closed, {counts.corrections:,} corrected, {counts.written:,} written",
        ]
        if counts.dead_letters:
            lines.append(f"          {counts.dead_letters:,} dead letters")
        lines.append(f"anomalies {anomalies_text(counts)}")
        lines.append(f"alerts    {counts.alerts:,} changes, {counts.open_alerts:,} open at the end")
        lines += [f"          {alert_line(event)}" for event in self.state.alerts[-_ALERTS_LISTED:]]
        if self.state.incident_count:
            lines.append(f"incidents {self.state.incident_count:,}, listed in {self.truth_path}")
        if counts.open_samples:
            lines.append(f"          {counts.open_samples:,} samples were in windows that had not ended")
        lines.append(f"stored in {self.store_path}; to ask it:")
        lines.append(f"          cinnamon query top cpu usage_active --embedded {shlex.quote(self.store_path)}")
        return "\n".join(lines)


class Output(Protocol):
    """Shows a run. Used as a context: what it took of the terminal it gives back."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None: ...

    def show(self, state: PipelineState) -> None:
        """Take the state; called a few times a second, it may be passed over."""
        ...

    def end(self, summary: Summary) -> None:
        """Report the end; called after the context."""
        ...


class LiveOutput:
    """A screen of its own, drawn anew at each call; the summary comes after it on the normal screen."""

    def __init__(self) -> None:
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal of ASCII shows an ellipsis as ?
        self._console = Console(markup=False, emoji=False, highlight=False)
        self._unicode = self._console.encoding.lower().startswith("utf")
        self._live = Live(console=self._console, screen=True, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        self._live.stop()

    def show(self, state: PipelineState) -> None:
        """Draw the state."""
        width, height = self._console.size
        self._live.update(render(state, width=width, height=height, unicode=self._unicode), refresh=True)

    def end(self, summary: Summary) -> None:
        """Print the summary."""
        sys.stdout.write(summary.as_text() + "\n")


class _Periodic(ABC):
    """Writes something about the state once a period and at each new phase."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._next_s = 0.0
        self._phase = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        sys.stdout.flush()

    def show(self, state: PipelineState) -> None:
        """Write the state if it is time."""
        if state.uptime_s < self._next_s and state.phase == self._phase:
            return
        self._phase = state.phase
        self._next_s = state.uptime_s + self._every_s
        self._write(state)
        sys.stdout.flush()

    @abstractmethod
    def _write(self, state: PipelineState) -> None:
        """Write the state in one piece."""


class LineOutput(_Periodic):
    """One plain line every two seconds."""

    def __init__(self) -> None:
        super().__init__(LINE_EVERY_S)
        self._is_introduced = False
        self._last_alert: AlertEvent | None = None

    def end(self, summary: Summary) -> None:
        """Print the summary."""
        sys.stdout.write(summary.as_text() + "\n")

    def _write(self, state: PipelineState) -> None:
        if not self._is_introduced and state.phase == "running":
            self._is_introduced = True
            sys.stdout.write(
                f"{state.source}, windows of {state.every_ms / 1000:g} s; broker {state.broker}, "
                f"metrics http://127.0.0.1:{state.web_port}/metrics, API http://127.0.0.1:{state.control_port}/docs, "
                f"files {state.directory}\n"
            )
        for event in self._new(state.alerts):
            sys.stdout.write(f"alert {alert_line(event)}\n")
        counts, rates = state.counts, state.rates
        sys.stdout.write(
            f"{state.uptime_s:.0f} s {state.phase}: in {rates.records:.0f} records/s {rates.samples:.0f} samples/s; "
            f"{counts.windows} windows closed, {counts.written} written; "
            f"lag {counts.aggregate_lag + counts.sink_lag}; {counts.anomalies} anomalies, "
            f"{counts.open_alerts} alerts open; {balance_text(counts)}\n"
        )

    def _new(self, alerts: "Sequence[AlertEvent]") -> "Sequence[AlertEvent]":
        """Return what comes behind the alert that was written last."""
        places = [place for place, event in enumerate(alerts) if event is self._last_alert]
        new = alerts[places[0] + 1 :] if places else alerts
        self._last_alert = alerts[-1] if alerts else None
        return new


class JsonOutput(_Periodic):
    """One JSON object a line, every second and at each new phase; the last has ``"event": "summary"``."""

    def __init__(self) -> None:
        super().__init__(JSON_EVERY_S)

    def end(self, summary: Summary) -> None:
        """Print the summary."""
        sys.stdout.write(json.dumps(summary.as_document()) + "\n")

    def _write(self, state: PipelineState) -> None:
        about = {
            "event": "state",
            "source": state.source,
            "every_ms": state.every_ms,
            "interval_ms": state.interval_ms,
            "broker": state.broker,
            "web_port": state.web_port,
            "control_port": state.control_port,
            "directory": state.directory,
        }
        sys.stdout.write(json.dumps(about | state.as_document()) + "\n")


def anomalies_text(counts: "WorkerCounts") -> str:
    """Return what detection has found; nothing can be found before a series has had 100 windows."""
    return f"{counts.anomalies:,} of {counts.scored:,} values reported, {counts.host_incidents:,} changes of hosts"


def balance_text(counts: "WorkerCounts") -> str:
    """Return the sample balance as a sum, without the terms that are 0, and whether it holds."""
    balance = balance_document(counts)
    terms = ("aggregated", "late", "too_late", "filtered", "open")
    parts = [f"{balance[term]:,} {term.replace('_', ' ')}" for term in terms if balance[term] or term == "aggregated"]
    verdict = "ok" if balance["holds"] else f"{counts.missing_samples:+,} MISSING"
    return f"{balance['in']:,} in = {' + '.join(parts)} ({verdict})"

"""How ``cinnamon up`` looks on a terminal: a screen drawn from a `PipelineState`, to fit any size."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from pipeline.cli.up.pipeline_state import PipelineState

if TYPE_CHECKING:
    from pipeline.cli.up.worker_client import WorkerCounts
    from pipeline.sources.fleet.incidents import Incident
    from pipeline.stores.base import SeriesPoint
    from schemas.alert import AlertEvent

_FIXED_ROWS: Final = 10  # head, rates, balance, two rules, a table's head, the last line
_WIDE: Final = 110
_BAR_CELLS: Final = 10
_BUSY_PERCENT: Final = 70.0
_FULL_PERCENT: Final = 90.0
_LEVEL_STYLES: Final = {"ok": "green", "info": "cyan", "warn": "yellow", "critical": "bold red"}


class _Rows(NamedTuple):
    """How many rows each part may have."""

    windows: int
    top: int
    alerts: int
    incidents: int


def render(state: PipelineState, *, width: int, height: int, unicode: bool = True) -> RenderableType:
    """Return the screen.

    Parameters
    ----------
    state
        What is shown.
    width, height
        The terminal's size in cells; it is filled and not exceeded from 60 x 16 on.
    unicode
        Whether the terminal takes more than ASCII.
    """
    rows = _share(height, with_alerts=bool(state.alerts), with_incidents=state.incident_count > 0)
    line = "─" if unicode else "-"
    parts: list[RenderableType] = [
        *_head(state),
        Rule("flow", characters=line, align="left", style="dim"),
        _rates(state),
        _balance(state.counts, unicode=unicode),
        Rule(_windows_title(state), characters=line, align="left", style="dim"),
        _windows(state, rows.windows, width=width),
        Rule(_top_title(state), characters=line, align="left", style="dim"),
        _top(state, rows.top, unicode=unicode),
    ]
    if state.alerts:
        title = f"alerts: {state.counts.open_alerts} open"
        parts.append(Rule(title, characters=line, align="left", style="dim"))
        parts.append(_alerts(state.alerts, rows.alerts))
    if state.incident_count:
        title = f"incidents injected: {state.incident_count}"
        parts.append(Rule(title, characters=line, align="left", style="dim"))
        parts.append(_incidents(state.incidents, rows.incidents))
    parts.append(Text(_last_line(state), style="dim", no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


def _share(height: int, *, with_alerts: bool, with_incidents: bool) -> _Rows:
    """Divide what is left: a quarter each to alerts and incidents, of the rest two fifths to top hosts."""
    free = max(height - _FIXED_ROWS - with_alerts - with_incidents, 4)
    incidents = max(free * 3 // 13, 1) if with_incidents else 0
    alerts = max(free * 3 // 13, 1) if with_alerts else 0
    left = free - incidents - alerts
    top = max(left * 2 // 5, 1)
    return _Rows(windows=max(left - top, 1), top=top, alerts=alerts, incidents=incidents)


def _head(state: PipelineState) -> Iterable[RenderableType]:
    first = Table.grid(expand=True)
    first.add_column(no_wrap=True, overflow="ellipsis")
    first.add_column(justify="right", no_wrap=True)
    phase = {"running": "green", "starting": "yellow"}.get(state.phase, "cyan")
    first.add_row(
        Text.assemble(
            ("cinnamon ", "bold"),
            f"{state.source}, every {_span(state.interval_ms)}, windows of {_span(state.every_ms)}",
        ),
        Text.assemble((state.phase, phase), f" {_clock(state.uptime_s)}"),
    )
    yield first
    memory = f" ({state.broker_memory_bytes / 1e6:,.0f} MB)" if state.broker_memory_bytes else ""
    second = f"broker {state.broker}{memory}  web :{state.web_port}  api :{state.control_port}  files {state.directory}"
    yield Text(second, style="dim", no_wrap=True, overflow="ellipsis")


def _rates(state: PipelineState) -> RenderableType:
    rates, counts = state.rates, state.counts
    lag = counts.aggregate_lag + counts.sink_lag
    text = Text.assemble(
        ("in ", "dim"),
        (f"{_rate(rates.records)}", "bold"),
        " records/s ",
        (f"{_rate(rates.samples)}", "bold"),
        " samples/s",
        ("  out ", "dim"),
        (f"{_rate(rates.windows)}", "bold"),
        " windows/s ",
        (f"{_rate(rates.points)}", "bold"),
        " written/s",
        ("  lag ", "dim"),
        (f"{lag:,}", "bold red" if lag > 10_000 else "bold"),
    )
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _balance(counts: "WorkerCounts", *, unicode: bool) -> RenderableType:
    """Return the balance as a sum with a name above each number."""
    if counts.missing_samples == 0:
        sign, style = ("✓" if unicode else "ok"), "bold green"
    else:
        sign, style = f"{counts.missing_samples:+,} missing", "bold red"
    terms = {
        "samples in": counts.fields_in,
        "aggregated": counts.aggregated,
        "late": counts.late,
        "too late": counts.too_late,
        "filtered": counts.filtered,
        "open": counts.open_samples,
    }
    table = Table.grid(padding=(0, 1, 0, 0))
    names: list[Text] = []
    values: list[Text] = []
    for position, (name, value) in enumerate(terms.items()):
        if position:
            names.append(Text(""))
            values.append(Text("=" if position == 1 else "+", style="dim"))
        names.append(Text(name, style="dim"))
        values.append(Text(f"{value:,}"))
    for position in range(len(names)):
        table.add_column(justify="right" if position % 2 == 0 else "center", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_row(*names, "")
    table.add_row(*values, Text(sign, style=style))
    return table


def _windows_title(state: PipelineState) -> str:
    closed, counts = state.stored.closed, state.counts
    if not counts.windows:
        return "windows: the first are open"
    title = f"windows closed: {counts.windows:,}"
    if counts.corrections:
        title += f", corrected {counts.corrections:,}"
    if closed:
        title += f", newest {_time(closed[0].start_ms)} to {_time(closed[0].end_ms)} UTC"
    return title


def _windows(state: PipelineState, rows: int, *, width: int) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(no_wrap=True, overflow="ellipsis", width=20 if width >= _WIDE else 18)
    for _ in range(4):
        table.add_column(justify="right", no_wrap=True, width=12 if width >= _WIDE else 8)
    table.add_row(*(Text(name, style="dim") for name in ("series", "field", "min", "max", "avg", "last")))
    shown = state.stored.closed[:rows]
    for window in shown:
        values = (window.minimum, window.maximum, window.average, window.last)
        table.add_row(Text(window.series), Text(window.field), *(_value(value) for value in values))
    for _ in range(rows - len(shown)):
        table.add_row("")
    return table


def _top_title(state: PipelineState) -> str:
    return f"top hosts, last {_span(state.stored.span_ms)}" if state.stored.span_ms else "top hosts"


def _top(state: PipelineState, rows: int, *, unicode: bool) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 2, 0, 0))
    table.add_column(ratio=1)
    table.add_column(ratio=1)
    stored = state.stored
    table.add_row(
        _ranking("cpu", stored.top_cpu, rows, unicode=unicode),
        _ranking("mem", stored.top_memory, rows, unicode=unicode),
    )
    return table


def _ranking(name: str, points: "Sequence[SeriesPoint]", rows: int, *, unicode: bool) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True, width=3)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(no_wrap=True, width=_BAR_CELLS)
    table.add_column(justify="right", no_wrap=True, width=6)
    for position in range(rows):
        label = Text(name if position == 0 else "", style="dim")
        if position < len(points):
            percent = points[position].value
            bar = _bar(percent, unicode=unicode)
            table.add_row(label, Text(points[position].tags.get("host", "?")), bar, f"{percent:.1f}%")
        else:
            table.add_row(label)
    return table


def _bar(percent: float, *, unicode: bool) -> Text:
    cells = round(min(max(percent, 0.0), 100.0) / 100 * _BAR_CELLS)
    style = "red" if percent >= _FULL_PERCENT else "yellow" if percent >= _BUSY_PERCENT else "green"
    full, rest = ("█", "░") if unicode else ("#", ".")
    return Text.assemble((full * cells, style), (rest * (_BAR_CELLS - cells), "dim"))


def _alerts(alerts: "Sequence[AlertEvent]", rows: int) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, width=8)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for event in reversed(alerts[-rows:]):
        level = event.level or "ok"
        table.add_row(Text(_time(event.time_ms)), Text(level, style=_LEVEL_STYLES[level]), Text(event.text))
    for _ in range(rows - len(alerts[-rows:])):
        table.add_row("")
    return table


def _incidents(incidents: "Sequence[Incident]", rows: int) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for incident in reversed(incidents[-rows:]):
        metric = "all metrics" if incident.metric == "*" else incident.metric
        kind = Text(incident.kind.value.replace("_", " "), style="magenta")
        table.add_row(Text(_time(incident.start_ms)), kind, Text(incident.host), Text(metric))
    for _ in range(rows - len(incidents[-rows:])):
        table.add_row("")
    return table


def _last_line(state: PipelineState) -> str:
    if state.phase == "draining":
        return "What was sent is being finished; Ctrl-C again leaves at once."
    letters = state.counts.dead_letters
    lost = f"{letters:,} dead letters. " if letters else ""
    counts = state.counts
    told = f"{counts.alerts:,} alerts, {counts.open_alerts:,} open. " if counts.alerts else ""
    told += f"{counts.anomalies:,} anomalies. " if counts.anomalies else ""
    return f"{lost}{told}{state.counts.series:,} series, {state.sent:,} messages sent. Ctrl-C ends it."


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _value(value: float) -> str:
    """Return a value in at most eight cells."""
    for limit, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if abs(value) >= limit:
            return f"{value / limit:.2f}{unit}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}"


def _span(milliseconds: int) -> str:
    """Return a duration as one writes it: 500 ms, 5 s, 2 min."""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 120_000:
        return f"{milliseconds / 1000:g} s"
    return f"{milliseconds / 60_000:g} min"


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _time(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%H:%M:%S")

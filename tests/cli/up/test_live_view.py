"""What the live view draws from given numbers."""

from io import StringIO

import pytest
from rich.console import Console

from pipeline.cli.up.live_view import render
from pipeline.cli.up.pipeline_state import ClosedWindow, PipelineState, RateMeter, Rates, StoredState
from pipeline.cli.up.worker_client import WorkerCounts
from pipeline.sources.fleet.incidents import Incident, IncidentKind
from pipeline.stores.base import SeriesPoint
from tests.support.channels.alerts import alert_event

MOMENT_MS = 1_780_000_000_000  # 20:26:40 UTC

COUNTS = WorkerCounts(
    records=3_600,
    samples=28_800,
    aggregated=16_700,
    late=40,
    too_late=60,
    filtered=200,
    open_samples=12_000,
    windows=600,
    corrections=3,
    written=590,
    aggregate_lag=7,
    sink_lag=5,
    series=300,
    dead_letters=2,
)

FULL = PipelineState(
    phase="running",
    source="simulated fleet of 50",
    every_ms=5_000,
    interval_ms=1_000,
    uptime_s=3_671.4,
    broker="127.0.0.1:41234",
    web_port=6066,
    control_port=6067,
    directory=".cinnamon",
    broker_memory_bytes=1_234_000_000,
    sent=3_650,
    counts=COUNTS,
    rates=Rates(records=300.2, samples=2_400.4, windows=60.0, points=9.5),
    stored=StoredState(
        closed=[
            ClosedWindow(
                start_ms=MOMENT_MS,
                end_ms=MOMENT_MS + 5_000,
                series=f"mci01-node{number:02d} eth0",
                field="net.bytes_recv",
                minimum=1.25,
                maximum=6.3e11,
                average=12_345.6,
                last=-3.5,
            )
            for number in range(1, 61)
        ],
        top_cpu=[SeriesPoint(MOMENT_MS, 99.5 - 5 * number, {"host": f"cpu{number:02d}"}) for number in range(20)],
        top_memory=[SeriesPoint(MOMENT_MS, 65.0 - number, {"host": f"mem{number:02d}"}) for number in range(20)],
        span_ms=60_000,
    ),
    alerts=[alert_event(time_ms=MOMENT_MS + 1000 * number, text=f"alert {number}") for number in range(30)],
    incidents=[
        Incident(3, "ns01/mci01/node03", "mci01-node03", "cpu.usage_active", IncidentKind.CPU_SPIKE, MOMENT_MS, 2**41),
        Incident(4, "ns01/mci01/node04", "mci01-node04", "*", IncidentKind.HOST_SILENT, MOMENT_MS + 7_000, 2**41),
    ],
    incident_count=2,
)

EMPTY = PipelineState(
    phase="starting",
    source="this machine",
    every_ms=60_000,
    interval_ms=10_000,
    uptime_s=0.0,
    broker="(starting)",
    web_port=6066,
    control_port=6067,
    directory=".cinnamon",
)


def drawn(state: PipelineState, *, width: int = 80, height: int = 24, unicode: bool = True) -> list[str]:
    """Return the screen's lines without the spaces at their ends."""
    console = Console(file=StringIO(), width=width, height=height, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(render(state, width=width, height=height, unicode=unicode))
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize("state", [FULL, EMPTY], ids=["full", "empty"])
@pytest.mark.parametrize(("width", "height"), [(60, 16), (80, 24), (120, 40), (200, 60)])
def test_the_screen_fills_the_terminal_and_no_more(state: PipelineState, width: int, height: int) -> None:
    lines = drawn(state, width=width, height=height)
    assert len(lines) == height
    assert max(len(line) for line in lines) <= width
    assert "messages sent. Ctrl-C" in lines[-1]


def test_head_rates_and_lag_stand_on_top() -> None:
    lines = drawn(FULL)
    assert lines[0] == "cinnamon simulated fleet of 50, every 1 s, windows of 5 s        running 1:01:11"
    assert lines[1] == "broker 127.0.0.1:41234 (1,234 MB)  web :6066  api :6067  files .cinnamon"
    assert lines[3] == "in 300 records/s 2,400 samples/s  out 60 windows/s 9.5 written/s  lag 12"


def test_the_balance_is_a_sum_with_a_mark_when_it_holds() -> None:
    names, numbers = drawn(FULL)[4:6]
    assert numbers.split() == ["29,000", "=", "16,700", "+", "40", "+", "60", "+", "200", "+", "12,000", "✓"]
    assert names.split() == ["samples", "in", "aggregated", "late", "too", "late", "filtered", "open"]


def test_a_balance_that_does_not_hold_says_how_many_are_missing() -> None:
    lines = drawn(PipelineState(**{**fields(EMPTY), "counts": WorkerCounts(samples=10, aggregated=7)}))
    assert lines[5].endswith("+3 missing")


def test_windows_show_series_field_and_four_functions() -> None:
    lines = drawn(FULL)
    assert lines[6].startswith("windows closed: 600, corrected 3, newest 20:26:40 to 20:26:45 UTC ──")
    assert lines[7].split() == ["series", "field", "min", "max", "avg", "last"]
    assert lines[8].split() == ["mci01-node01", "eth0", "net.bytes_recv", "1.25", "630.00G", "12,346", "-3.50"]


def test_top_hosts_have_bars_beside_each_other() -> None:
    lines = drawn(FULL, width=120, height=40)
    first = next(position for position, line in enumerate(lines) if line.startswith("top hosts, last 60 s"))
    assert lines[first + 1].split() == ["cpu", "cpu00", "██████████", "99.5%", "mem", "mem00", "██████░░░░", "65.0%"]
    assert lines[first + 2].split() == ["cpu01", "█████████░", "94.5%", "mem01", "██████░░░░", "64.0%"]


def test_the_newest_incident_comes_first() -> None:
    lines = drawn(FULL)
    first = next(position for position, line in enumerate(lines) if line.startswith("incidents injected: 2"))
    assert lines[first + 1].split() == ["20:26:47", "host", "silent", "mci01-node04", "all", "metrics"]
    assert lines[first + 2].split() == ["20:26:40", "cpu", "spike", "mci01-node03", "cpu.usage_active"]


def test_a_terminal_of_ascii_gets_ascii() -> None:
    assert all(line.isascii() for line in drawn(FULL, unicode=False))
    assert any(line.endswith(" ok") for line in drawn(FULL, unicode=False))


def test_before_the_first_window_the_view_says_that_it_is_open() -> None:
    assert "windows: the first are open ──" in "\n".join(drawn(EMPTY))


def test_names_with_brackets_are_shown_as_they_are() -> None:
    stored = StoredState(top_cpu=[SeriesPoint(0, 1.0, {"host": "[red]web[/]"})])
    assert "[red]web[/]" in "\n".join(drawn(PipelineState(**{**fields(EMPTY), "stored": stored}), width=120))


def fields(state: PipelineState) -> dict[str, object]:
    return {name: getattr(state, name) for name in state.__dataclass_fields__}


def test_rates_are_averages_over_the_span() -> None:
    meter = RateMeter(span_s=10.0)
    assert meter.add(100.0, WorkerCounts()) == Rates()
    meter.add(101.0, WorkerCounts(records=1_000))
    rates = meter.add(110.0, WorkerCounts(records=1_000, samples=80, windows=20, written=10))
    assert rates == Rates(records=100.0, samples=8.0, windows=2.0, points=1.0)
    later = meter.add(111.0, WorkerCounts(records=1_100, samples=80, windows=20, written=10))
    assert later.records == 10.0


def test_anomalies_are_told_in_the_last_line() -> None:
    lines = drawn(PipelineState(**{**fields(EMPTY), "counts": WorkerCounts(anomalies=1_234)}))
    assert lines[-1].startswith("1,234 anomalies. 0 series, 0 messages sent.")

"""How ``cinnamon audit`` prints its report for a reader."""

from datetime import UTC, datetime
from typing import Final

from rich.console import Console
from rich.table import Table

from pipeline.audit.report import Finding, Report, Status

_SAYS: Final = {
    Status.PROVED: "[green]proved[/]: every sample is accounted for",
    Status.REFUTED: "[red]refuted[/]",
    Status.UNDECIDED: "[yellow]undecided[/]",
}
_COUNTS: Final = ("records", "without_key", "empty_records", "samples", "in_windows", "too_late", "open", "waiting")


def print_report(report: Report) -> None:
    """Print counts by partition and reason, and what is wrong."""
    console = Console(highlight=False)
    console.print(f"windows from {_iso(report.start_ms)} to {_iso(report.end_ms)}: {report.windows:,}")
    table = Table(box=None, pad_edge=False)
    table.add_column("partition")
    for name in (*_COUNTS, "filtered", "dead letters"):
        table.add_column(name.replace("_", " "), justify="right")
    for each in report.partitions:
        counts = [f"{getattr(each, name):,}" for name in _COUNTS]
        table.add_row(str(each.partition), *counts, _by_reason(each.filtered), _by_reason(each.dead_lettered))
    console.print(table)
    console.print(_SAYS[report.status])
    for why in report.undecided:
        console.print(f"  {why}", markup=False)
    for fault, count in report.findings.counts.items():
        console.print(f"  {fault}: {count}", markup=False)
    if report.findings.first is not None:
        _print_finding(console, report.findings.first)


def _print_finding(console: Console, finding: Finding) -> None:
    console.print(f"first: {finding.message}", markup=False)
    if finding.measurement is not None:
        tags = ",".join(f"{key}={value}" for key, value in (finding.tags or {}).items())
        console.print(f"  series  {finding.measurement} {tags} {finding.field or ''}", markup=False)
    if finding.start_ms is not None and finding.end_ms is not None:
        console.print(f"  window  {_iso(finding.start_ms)} to {_iso(finding.end_ms)} ({finding.start_ms} ms)")
    if finding.raw_partition is not None:
        last = "" if finding.raw_last_offset is None else f" to {finding.raw_last_offset}"
        console.print(f"  samples metrics.raw/{finding.raw_partition}/{finding.raw_first_offset}{last}", markup=False)
    if finding.agg_offset is not None:
        console.print(f"  record  metrics.agg/{finding.agg_partition}/{finding.agg_offset}", markup=False)


def _by_reason(counts: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(counts.items())) or "0"


def _iso(time_ms: int) -> str:
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{time_ms} ms"

"""What a window costs the stage detect: ``python -m bench.detect_stage``.

The windows are those of a simulated fleet, as the aggregate stage writes them; measured is the stage's core, from the
bytes of a fetch to the bytes of its scores. Kafka's part is that of every stage (bench.end_to_end).
"""

import time
from zoneinfo import ZoneInfo

import orjson

from pipeline.core.detection.detector import DetectionSettings, PartitionDetector
from pipeline.core.detection.rules import DetectionRules, Zones
from pipeline.core.detection.state import SeriesText, snapshot
from pipeline.core.records.telegraf.parser import batch_of
from pipeline.core.snapshots.snapshot import layout_of
from pipeline.core.windows.aggregator import PartitionAggregator
from pipeline.core.windows.rules import WindowRules
from pipeline.sources.fleet.fleet import Fleet
from schemas.catalogue import load_catalogue

_START_MS = 1_780_272_000_000
_MINUTE_MS = 60_000
_FETCH_RECORDS = 2000
_RECORDS = 60_000


def windows_of(hosts: int, minutes: int) -> list[bytes]:
    """Return the windows of a fleet that sends once a minute."""
    fleet = Fleet(hosts, 1, _START_MS, _MINUTE_MS)
    counters = load_catalogue().counters
    aggregator = PartitionAggregator(0, WindowRules(), lambda measurement, name: (measurement, name) in counters)
    windows: list[bytes] = []
    read = 0
    for minute in range(minutes):
        messages = fleet.tick()
        batch = batch_of([message.value for message in messages], read)
        windows += aggregator.add(batch, 0, len(messages), _START_MS + minute * _MINUTE_MS).values
        read += len(messages)
    return windows


def measured(hosts: int) -> None:
    """Print a line: cost of a record, of its parsing alone, and how long a second snapshot takes to begin."""
    windows = windows_of(hosts, _RECORDS // (6 * hosts) + 12)
    fetches = [
        list(enumerate(windows[first : first + _FETCH_RECORDS], first))
        for first in range(0, len(windows), _FETCH_RECORDS)
    ]
    detector = PartitionDetector(0, DetectionRules(load_catalogue(), Zones()), DetectionSettings(), ZoneInfo)
    warm = len(fetches) // 4
    for fetch in fetches[:warm]:
        detector.add(fetch)
    measured_fetches = fetches[warm:]
    records = sum(map(len, measured_fetches))
    began = time.process_time()
    for fetch in measured_fetches:
        detector.add(fetch)
    cost_us = (time.process_time() - began) / records * 1e6
    began = time.process_time()
    for fetch in measured_fetches:
        for _, value in fetch:
            orjson.loads(value)
    parsing_us = (time.process_time() - began) / records * 1e6
    series = SeriesText()
    snapshot(detector, 0, series)
    began = time.perf_counter()
    layout = layout_of(snapshot(detector, 0, series))
    stall_ms = (time.perf_counter() - began) * 1e3
    size_mb = sum(size for _, _, size in layout.values()) / 1e6
    values = detector.balance.scored_samples / detector.balance.records
    print(
        f"{hosts:6,d} {detector.table.series_count:9,d} {values:14.1f} {cost_us:10.1f} {parsing_us:8.1f}"
        f" {1e6 / cost_us:10,.0f} {size_mb:8.1f} {stall_ms:8.1f}"
    )


def main() -> None:
    print(" hosts    series  values/record  us/record  parsing  records/s       MB  made ms")
    for hosts in (10, 100, 1000, 3000):
        measured(hosts)


if __name__ == "__main__":
    main()

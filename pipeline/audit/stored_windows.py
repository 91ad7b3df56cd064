"""The stores beside ``metrics.agg``: each window of the latest revision must be where it belongs, and nothing else."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np

import topics
from pipeline.audit.naming import Namer, first_of, time_column
from pipeline.audit.report import Fault, Finding, Findings
from pipeline.audit.spill import Spill, joined
from pipeline.core.audit.hashes import cell_hash, cell_hashes, identity_text, text_hash, window_hashes
from pipeline.core.audit.values import STORE_ROW, compare_store, merged_store, place_numbers, stored_hashes
from pipeline.core.compiled import Array, Ints
from pipeline.core.influx.windows import STORED_FUNCTIONS
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.kafka.topic_reader import committed_offsets
from pipeline.settings.model import Settings
from pipeline.stages.sink.region_route import Destination, RegionRoute
from pipeline.stages.sink.spec import windows_group
from pipeline.stores.base import Store, StoredValue
from pipeline.stores.factory import kind_of, open_store
from pipeline.stores.settings import StoreSettings, regional_stores

_GATHERED_VALUES: Final = 50_000
_DAY_MS: Final = 86_400_000


def store_numbers(settings: Settings) -> Callable[[bytes], int]:
    """Return what tells the number of the regional store that takes a record of ``metrics.agg``, -1 for none."""
    stores = regional_stores(settings)
    routes = [RegionRoute(store, stores) for store in stores]

    def store_of(value: bytes) -> int:
        for number, route in enumerate(routes):
            if route.destination(value) is Destination.MINE:
                return number
        return -1

    return store_of


class StoreAudit:
    """Compares the stores with the records of a period.

    Parameters
    ----------
    settings
        As the worker's.
    windows, directory
        Rows of all records of the period, and where those of the stores go.
    namer, findings
        What names what is wrong, and where that goes.
    start_ms, end_ms
        The period.
    """

    def __init__(
        self,
        settings: Settings,
        windows: Spill,
        directory: Path,
        namer: Namer,
        findings: Findings,
        *,
        start_ms: int,
        end_ms: int,
    ) -> None:
        self._kafka = settings[KafkaSettings]
        self._stores = regional_stores(settings)
        self._windows = windows
        self._directory = directory
        self._namer = namer
        self._findings = findings
        self._start_ms, self._end_ms = start_ms, end_ms

    def committed(self, partitions: list[int], timeout_s: float) -> dict[str, Ints]:
        """Return for each store the offsets of ``metrics.agg`` up to which it was written; ask before reading those."""
        found = {}
        for store in self._stores:
            group = self._kafka.group(windows_group(store).name)
            offsets = committed_offsets(self._kafka, group, topics.METRICS_AGG, partitions, timeout_s)
            found[store.name] = np.array([offsets.get(partition, 0) for partition in partitions], np.int64)
        return found

    def compare(
        self,
        number: int,
        written_until: Ints,
        rejected: list[tuple[int, int]],
        on_read: Callable[[str, int, int | None], None],
        *,
        is_whole: bool,
    ) -> int:
        """Compare one store; return how many cells it has still to be given.

        Where ``metrics.agg`` is not whole (retention has deleted of the period), nothing in the store is too much.

        Raises
        ------
        StoreUnavailable
            When it does not answer.
        """
        options = self._stores[number]
        spill = Spill(self._directory, f"store-{number}", STORE_ROW, merged_store)
        with closing(open_store(options, read_only=True)) as store:
            _read(store, spill, self._start_ms, self._end_ms, lambda read: on_read(f"store {options.name}", read, None))
            waiting, worst = self._join(number, options, spill, written_until, rejected, is_whole=is_whole)
            if worst and self._findings.first is None:
                fault = min(worst, key=lambda each: int(worst[each][time_column(worst[each])][0]))
                self._findings.first = self._named(store, options.name, fault, worst[fault][0])
        return waiting

    def _join(
        self,
        number: int,
        options: StoreSettings,
        spill: Spill,
        written_until: Ints,
        rejected: list[tuple[int, int]],
        *,
        is_whole: bool,
    ) -> tuple[int, dict[Fault, Array]]:
        places = np.array(rejected, np.int64).reshape(-1, 2)
        kept_ms = kind_of(options).windows_deleted_after_ms(options)
        oldest_ms = 0 if kept_ms is None else time.time_ns() // 1_000_000 - kept_ms + _DAY_MS
        waiting = 0
        worst: dict[Fault, Array] = {}
        for records, kept in joined(self._windows, spill):
            checks = compare_store(
                records,
                kept,
                store=number,
                written_until=written_until,
                rejected=place_numbers(places[:, 0], places[:, 1]),
                oldest_ms=oldest_ms,
            )
            waiting += checks.waiting
            for fault, rows in (
                (Fault.STORE_MISSING, checks.missing),
                (Fault.STORE_WRONG, checks.wrong),
                (Fault.STORE_EXTRA, checks.extra[: None if is_whole else 0]),
            ):
                if len(rows):
                    self._findings.counts[fault] += len(rows)
                    worst[fault] = first_of(rows, worst.get(fault))
        return waiting, worst

    def _named(self, store: Store, name: str, fault: Fault, row: np.void) -> Finding:
        if fault is Fault.STORE_EXTRA:
            return _extra_finding(store, name, row)
        record = self._namer.record_of(row)
        message = f"store {name} lacks it"
        if fault is Fault.STORE_WRONG and record is not None:
            kept = {
                value.function: value.value
                for value in store.scan(record["start_ms"], record["start_ms"] + 1)
                if cell_hash(value.measurement, value.tags, value.start_ms, value.field) == int(row["cell"])
            }
            finding = self._namer.cell(fault, row, "")
            functions = record["fields"].get(finding.field, {})
            differing = [each for each in STORED_FUNCTIONS if kept.get(each) != functions.get(each)]
            message = f"store {name} has " + ", ".join(
                f"{each} {kept.get(each)} and should have {functions.get(each)}" for each in differing
            )
        return self._namer.cell(fault, row, message)


def _extra_finding(store: Store, name: str, row: np.void) -> Finding:
    start_ms = int(row["start_ms"])
    message = f"store {name} has it, and metrics.agg has not"
    with closing(store.scan(start_ms, start_ms + 1)) as values:
        for value in values:
            if cell_hash(value.measurement, value.tags, start_ms, value.field) == int(row["cell"]):
                return Finding(
                    Fault.STORE_EXTRA,
                    message,
                    measurement=value.measurement,
                    tags=value.tags,
                    field=value.field,
                    start_ms=start_ms,
                )
    return Finding(Fault.STORE_EXTRA, message, start_ms=start_ms)


def _read(store: Store, spill: Spill, start_ms: int, end_ms: int, on_read: Callable[[int], None]) -> None:
    gathered: list[StoredValue] = []
    read = 0
    with closing(store.scan(start_ms, end_ms)) as values:
        for value in values:
            gathered.append(value)
            if len(gathered) >= _GATHERED_VALUES:
                read += len(gathered)
                spill.add(_rows(gathered))
                gathered = []
                on_read(read)
    spill.add(_rows(gathered))


def _rows(values: list[StoredValue]) -> Array:
    identities: dict[tuple[str, int], int] = {}
    names: dict[str, int] = {}
    rows = np.zeros(len(values), STORE_ROW)
    if not values:
        return rows
    found = []
    for value in values:
        key = (value.measurement, id(value.tags))  # the tags live as long as the values
        identity = identities.get(key)
        if identity is None:
            identity = identities[key] = text_hash(identity_text(value.measurement, value.tags))
        name = names.get(value.field)
        if name is None:
            name = names[value.field] = text_hash(value.field)
        found.append((identity, name))
    rows["start_ms"] = [value.start_ms for value in values]
    rows["window"] = window_hashes(np.array([identity for identity, _ in found], np.uint64), rows["start_ms"])
    rows["cell"] = cell_hashes(rows["window"], np.array([name for _, name in found], np.uint64))
    rows["stored"] = stored_hashes([value.function for value in values], [value.value for value in values])
    return rows

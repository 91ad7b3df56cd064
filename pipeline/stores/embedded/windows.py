"""The embedded store: one SQLite file that one process writes and any others read meanwhile."""

import sqlite3
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from pipeline.stores.base import (
    FUNCTIONS,
    MAX_POINTS,
    MAX_TOP,
    Rejected,
    SeriesPoint,
    StoredValue,
    WriteResult,
    always,
    check_query,
    check_range,
)
from pipeline.stores.embedded import windows_schema as schema
from pipeline.stores.embedded.file import UNFIT, SqliteFile

_CACHED_SERIES = 500_000
_PRUNES_PER_RETENTION = 20

_Row = tuple[Any, ...]


class _Window(NamedTuple):
    position: int
    revision: int
    rows: list[_Row]


class EmbeddedStore:
    """Keeps windows in a SQLite file (write-ahead log: readers never wait for the writer).

    Parameters
    ----------
    path
        The file; made with its folder when it is absent, unless ``read_only``.
    retention_ms
        Windows that start longer ago than this are deleted, now and then; none keeps all.
    read_only
        For a process that only asks: never writes, and needs the file to be there.
    clock_ms
        The clock that retention goes by, in UTC milliseconds.

    Raises
    ------
    StoreUnavailable
        If the file cannot be opened, is no database, or was written by another version.

    Notes
    -----
    Written without waiting for the disk at each batch (``synchronous=NORMAL``): a power cut may lose the last batches,
    a crash of the process loses nothing. Queries may be asked from any thread; `write` from one at a time.
    """

    def __init__(
        self,
        path: Path,
        *,
        retention_ms: int | None = None,
        read_only: bool = False,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._retention_ms = retention_ms
        self._clock_ms = clock_ms
        self._next_prune_ms = 0
        self._metrics: dict[tuple[str, str], int] = {}
        self._series: dict[bytes, tuple[int, int]] = {}
        self._file = SqliteFile(path, version=schema.VERSION, tables=schema.TABLES, read_only=read_only)

    keeps_revisions = True

    def remember(self, records: Sequence[bytes]) -> None:
        """Do nothing: the revision of each window is in the file."""

    def write(self, records: Sequence[bytes], is_mine: Callable[[], bool] = always) -> WriteResult:  # noqa: ARG002
        """Write records of ``metrics.agg``: see `Store.write`. One transaction: after an error nothing is written."""
        rejected: list[Rejected] = []
        try:
            with self._file.transaction():
                windows = self._windows(records, rejected)
                superseded = self._upsert(windows, rejected)
        except BaseException:
            self._forget()  # ids that were given in the transaction are void
            raise
        self._prune()
        rejected.sort(key=lambda one: one.index)
        return WriteResult(len(records) - len(rejected) - superseded, superseded, tuple(rejected))

    def query_range(
        self,
        measurement: str,
        field: str,
        function: str,
        *,
        start_ms: int,
        end_ms: int,
        tags: Mapping[str, str] | None = None,
        max_points: int = MAX_POINTS,
    ) -> list[SeriesPoint]:
        """Return one function of a field for each window of a range: see `Store.query_range`."""
        check_query(function, start_ms=start_ms, end_ms=end_ms, limit=max_points, most=MAX_POINTS)
        wanted = tags or {}
        with self._file.reader() as reader:
            metric = _metric_id(reader, measurement, field)
            given = (metric, start_ms, end_ms, *chain.from_iterable(wanted.items()), max_points)
            rows = reader.execute(schema.range_statement(function, tags=len(wanted)), given).fetchall()
        return [SeriesPoint(time_ms, float(value), orjson.loads(found)) for time_ms, value, found in rows]

    def query_top(
        self,
        measurement: str,
        field: str,
        function: str,
        *,
        start_ms: int,
        end_ms: int,
        n: int = 10,
        tags: Mapping[str, str] | None = None,
        by_tag: str | None = None,
    ) -> list[SeriesPoint]:
        """Return the series with the greatest value over a range: see `Store.query_top`."""
        check_query(function, start_ms=start_ms, end_ms=end_ms, limit=n, most=MAX_TOP)
        wanted = tags or {}
        statement = schema.top_statement(function, tags=len(wanted), by_tag=by_tag is not None)
        with self._file.reader() as reader:
            metric = _metric_id(reader, measurement, field)
            given = (metric, start_ms, end_ms, *chain.from_iterable(wanted.items()))
            if by_tag is not None:
                given = (by_tag, *given, by_tag)
            rows = reader.execute(statement, (*given, n)).fetchall()
        return [SeriesPoint(start_ms, float(value), orjson.loads(found)) for found, value in rows]

    def scan(self, start_ms: int, end_ms: int) -> Generator[StoredValue, None, None]:
        """Yield what is kept of a range: see `Store.scan`."""
        check_range(start_ms, end_ms)
        tags_of: dict[str, dict[str, str]] = {}
        with self._file.reader() as reader:
            for text, measurement, field, time_ms, *values in reader.execute(schema.SCAN, (start_ms, end_ms)):
                tags = tags_of.get(text)
                if tags is None:
                    if len(tags_of) >= _CACHED_SERIES:
                        tags_of.clear()
                    tags = tags_of[text] = orjson.loads(text)
                for function, value in zip(FUNCTIONS, values, strict=True):
                    if value is not None:
                        yield StoredValue(measurement, tags, time_ms, field, function, float(value))

    def ping(self) -> None:
        """Return if the file is there and is a store of this version; raise `StoreUnavailable` if not."""
        self._file.ping()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()

    def _windows(self, records: Sequence[bytes], rejected: list[Rejected]) -> list[_Window]:
        windows = []
        for index, record in enumerate(records):
            try:
                windows.append(self._window(index, record))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                rejected.append(Rejected(index, f"not a record of metrics.agg: {type(error).__name__}: {error}"))
        return windows

    def _window(self, index: int, record: bytes) -> _Window:
        window = orjson.loads(record)
        measurement, start_ms, end_ms = window["measurement"], window["start_ms"], window["end_ms"]
        revision, fields = window["revision"], window["fields"]
        if type(start_ms) is not int or type(revision) is not int or not isinstance(measurement, str) or not fields:
            raise ValueError("measurement, start_ms, revision or fields are not what they should be")
        series = self._series_id(window["tags"], start_ms)
        rows = []
        for name, functions in fields.items():
            metric = self._metrics.get((measurement, name)) or self._add_metric(measurement, name)
            get = functions.get
            rows.append(
                (metric, start_ms, series, end_ms, revision, functions["min"], functions["max"], functions["avg"],
                 functions["last"], get("first"), functions["sum"], functions["count"], get("increase"), get("rate"))
            )  # fmt: skip
        return _Window(index, revision, rows)

    def _upsert(self, windows: list[_Window], rejected: list[Rejected]) -> int:
        """Write the windows; add those that SQLite cannot take to ``rejected``; return how many were superseded."""
        writer = self._file.writer()
        rows = list(chain.from_iterable([window.rows for window in windows]))
        writer.execute("SAVEPOINT batch")
        try:
            changed = writer.executemany(schema.UPSERT_WINDOW, rows).rowcount if rows else 0
        except UNFIT:
            writer.execute("ROLLBACK TO batch")
            return self._upsert_one_by_one(windows, rejected)
        return 0 if changed == len(rows) else sum(self._is_superseded(window) for window in windows)

    def _upsert_one_by_one(self, windows: list[_Window], rejected: list[Rejected]) -> int:
        writer = self._file.writer()
        superseded = 0
        for window in windows:
            writer.execute("SAVEPOINT one")
            try:
                writer.executemany(schema.UPSERT_WINDOW, window.rows)
            except UNFIT as error:
                writer.execute("ROLLBACK TO one")
                rejected.append(Rejected(window.position, f"a value does not fit: {error}"))
            else:
                superseded += self._is_superseded(window)
            writer.execute("RELEASE one")
        return superseded

    def _is_superseded(self, window: _Window) -> bool:
        kept = self._file.writer().execute(schema.REVISION_OF_WINDOW, window.rows[0][:3]).fetchone()
        return kept is not None and kept[0] > window.revision

    def _add_metric(self, measurement: str, field: str) -> int:
        found = self._file.writer().execute(schema.FIND_OR_ADD_METRIC, (measurement, field)).fetchone()
        self._metrics[measurement, field] = int(found[0])
        return int(found[0])

    def _series_id(self, tags: Mapping[str, str], start_ms: int) -> int:
        """Return the series' id; note its newest window from time to time, so that it outlives its last one."""
        key = orjson.dumps(tags, option=orjson.OPT_SORT_KEYS)
        known = self._series.get(key)
        slack_ms = (self._retention_ms or 0) // _PRUNES_PER_RETENTION
        if known is not None and start_ms <= known[1] + slack_ms:
            return known[0]
        if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
            raise ValueError("tags are not an object of strings")
        if len(self._series) >= _CACHED_SERIES:
            self._series.clear()
        found = self._file.writer().execute(schema.FIND_OR_ADD_SERIES, (key.decode(), start_ms)).fetchone()
        self._series[key] = (int(found[0]), start_ms)
        return int(found[0])

    def _prune(self) -> None:
        """Delete what is older than the retention, if it was not done lately."""
        if self._retention_ms is None or self._clock_ms() < self._next_prune_ms:
            return
        now_ms = self._clock_ms()
        step_ms = max(self._retention_ms // _PRUNES_PER_RETENTION, 1)
        self._next_prune_ms = now_ms + step_ms
        with self._file.explained("write to"):
            self._delete_before(now_ms - self._retention_ms, step_ms)

    def _delete_before(self, oldest_ms: int, step_ms: int) -> None:
        writer = self._file.writer()
        for (metric,) in writer.execute("SELECT metric_id FROM metrics").fetchall():
            writer.execute(schema.DELETE_OLD_WINDOWS, (metric, oldest_ms))
        # last_start_ms may lag by one step: a series goes only when its newest window is surely gone
        if writer.execute(schema.DELETE_OLD_SERIES, (oldest_ms - step_ms,)).rowcount:
            self._forget()

    def _forget(self) -> None:
        self._metrics.clear()
        self._series.clear()


def _metric_id(reader: sqlite3.Connection, measurement: str, field: str) -> int:
    """Return the id of a measurement's field; 0, which no metric has, if it was never written."""
    found = reader.execute(
        "SELECT metric_id FROM metrics WHERE measurement = ? AND field = ?", (measurement, field)
    ).fetchone()
    return 0 if found is None else int(found[0])

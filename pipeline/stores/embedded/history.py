"""The embedded store of history: chunks, anomalies and alerts in one SQLite file."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from pipeline.core.influx.events import ENCODERS
from pipeline.core.records.typed_records import read_record
from pipeline.stores.base import Rejected, WriteResult, always
from pipeline.stores.embedded import history_schema as schema
from pipeline.stores.embedded.file import UNFIT, SqliteFile
from schemas.downsampled import DownsampledChunk

_PRUNES_PER_RETENTION = 20
_CACHED_SERIES = 100_000


def open_history_file(path: Path, *, read_only: bool) -> SqliteFile:
    """Return the file of a store of history, open; `StoreUnavailable` if it cannot be opened or is none."""
    return SqliteFile(path, version=schema.VERSION, tables=schema.TABLES, read_only=read_only)


class _HistoryWriter:
    """What writing chunks and writing events have in common: a transaction a call, and retention.

    Parameters
    ----------
    path
        The file; made with its folder when it is absent.
    retention_ms
        What ended longer ago than this is deleted, now and then; none keeps all.
    clock_ms
        The clock that retention goes by, in UTC milliseconds.
    """

    keeps_revisions = True

    def __init__(
        self,
        path: Path,
        *,
        retention_ms: int | None = None,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._file = open_history_file(path, read_only=False)
        self._retention_ms = retention_ms
        self._clock_ms = clock_ms
        self._next_prune_ms = 0

    def write(self, records: Sequence[bytes], is_mine: Callable[[], bool] = always) -> WriteResult:  # noqa: ARG002
        """Write records: see `RecordStore.write`. One transaction: after an error nothing is written."""
        rejected: list[Rejected] = []
        superseded = 0
        try:
            with self._file.transaction() as writer:
                for index, record in enumerate(records):
                    writer.execute("SAVEPOINT one")
                    try:
                        superseded += not self._keep(record)
                    except (ValueError, *UNFIT) as error:
                        writer.execute("ROLLBACK TO one")
                        self._forget()
                        rejected.append(Rejected(index, str(error)))
                    writer.execute("RELEASE one")
                self._prune()
        except BaseException:
            self._forget()
            raise
        return WriteResult(len(records) - len(rejected) - superseded, superseded, tuple(rejected))

    def remember(self, records: Sequence[bytes]) -> None:
        """Do nothing: the revision of each record is in the file."""

    def ping(self) -> None:
        """Return if the file is there and is a store of this version; raise `StoreUnavailable` if not."""
        self._file.ping()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()

    def _keep(self, record: bytes) -> bool:
        """Write one record; return whether it was not superseded."""
        raise NotImplementedError

    def _forget(self) -> None:
        """Forget ids that were given since the last commit: what gave them is undone."""

    def _prune(self) -> None:
        if self._retention_ms is None or self._clock_ms() < self._next_prune_ms:
            return
        now_ms = self._clock_ms()
        self._next_prune_ms = now_ms + max(self._retention_ms // _PRUNES_PER_RETENTION, 1)
        for statement in schema.DELETE_OLD:
            self._file.writer().execute(statement, (now_ms - self._retention_ms,))


class EmbeddedChunks(_HistoryWriter):
    """Writes chunks of ``metrics.downsampled``: a row each, so that a newer revision replaces all points at once.

    Parameters
    ----------
    path, options
        As `_HistoryWriter`.
    """

    def __init__(self, path: Path, **options: Any) -> None:
        super().__init__(path, **options)
        self._series: dict[tuple[str, str, bytes], int] = {}

    def _forget(self) -> None:
        self._series.clear()

    def _keep(self, record: bytes) -> bool:
        chunk = read_record(DownsampledChunk, record, "metrics.downsampled")
        writer = self._file.writer()
        row = (
            self._series_id(chunk), chunk.start_ms, chunk.end_ms, chunk.revision, chunk.last_ms, chunk.gap, chunk.count,
            chunk.sum, chunk.min, chunk.max, chunk.sigma, chunk.max_error, chunk.series_class, chunk.encoder,
            orjson.dumps(chunk.points).decode(),
        )  # fmt: skip
        is_newest = writer.execute(schema.UPSERT_CHUNK, row).rowcount > 0
        if is_newest:
            writer.execute(schema.DELETE_WITHIN, (row[0], chunk.start_ms, chunk.end_ms))
        return is_newest

    def _series_id(self, chunk: DownsampledChunk) -> int:
        name = (chunk.measurement, chunk.field, orjson.dumps(chunk.tags, option=orjson.OPT_SORT_KEYS))
        known = self._series.get(name)
        if known is None:
            if len(self._series) >= _CACHED_SERIES:
                self._series.clear()
            given = (chunk.measurement, chunk.field, name[2].decode())
            (known,) = self._file.writer().execute(schema.FIND_OR_ADD_SERIES, given).fetchone()
            self._series[name] = int(known)
        return int(known)


class EmbeddedEvents(_HistoryWriter):
    """Writes the records of ``anomalies`` or of ``alerts`` as they are.

    Parameters
    ----------
    path, options
        As `_HistoryWriter`.
    topic
        Which of them.
    """

    def __init__(self, path: Path, topic: str, **options: Any) -> None:
        super().__init__(path, **options)
        self._topic = topic
        self._encode = ENCODERS[topic]

    def _keep(self, record: bytes) -> bool:
        line = self._encode(record)
        row = (self._topic, line.time_ms, line.identity, line.revision, record.decode())
        return self._file.writer().execute(schema.UPSERT_EVENT, row).rowcount > 0

    def events(self, start_ms: int, end_ms: int, limit: int = 10_000) -> list[dict[str, Any]]:
        """Return the records of times in ``[start_ms, end_ms)``, the oldest first."""
        with self._file.reader() as reader:
            rows = reader.execute(schema.EVENTS, (self._topic, start_ms, end_ms, limit)).fetchall()
        return [orjson.loads(record) for (record,) in rows]

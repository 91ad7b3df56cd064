"""Down-sampled history in InfluxDB 2: chunks written so that a newer revision replaces every point of an older one."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from pipeline.core.influx.history import ChunkLines, encode_chunk
from pipeline.core.records.typed_records import read_record
from pipeline.stores.base import Rejected, StoreUnavailable, WriteResult, always
from pipeline.stores.influxdb.connection import InfluxConnection, time_ms_of
from pipeline.stores.influxdb.flux import stored_chunks_query
from pipeline.stores.influxdb.lines import LineWriter, RecordLines
from pipeline.stores.influxdb.newest import NewestChunks, WrittenChunk
from schemas.downsampled import DownsampledChunk

_TOPIC = "metrics.downsampled"
_REMEMBERED_SERIES = 200_000
_ASKED_SERIES = 500
"""A query names at most so many series."""


class _Pending(NamedTuple):
    position: int
    lines: ChunkLines
    replaces: bool
    """An older revision was there, or came in the same call: it may have been written in part."""


class InfluxHistory:
    """Writes chunks of ``metrics.downsampled`` into one bucket.

    Parameters
    ----------
    connection
        The bucket; closed with this.
    batch_lines, requests_in_flight
        As `LineWriter`.

    Notes
    -----
    What an older revision wrote between a chunk's start and end is deleted before the newer one is written: for a
    moment, or until a crash in between is made good, the chunk is missing; old and new points never stand side by side.

    Chunks of a series come in the order of their starts but for corrections, which concern the newest one. So a chunk
    that is newer than any written of its series is written at once, and the newest one's revision is known; of any
    other chunk (after a restart, a replay) InfluxDB is asked first.
    """

    keeps_revisions = False

    def __init__(self, connection: InfluxConnection, *, batch_lines: int, requests_in_flight: int) -> None:
        self._connection = connection
        self._writer = LineWriter(connection, batch_lines=batch_lines, requests_in_flight=requests_in_flight)
        self._newest = NewestChunks(_REMEMBERED_SERIES)

    def write(self, records: Sequence[bytes], is_mine: Callable[[], bool] = always) -> WriteResult:
        """Write records: see `RecordStore.write`."""
        rejected: list[Rejected] = []
        pending: dict[tuple[str, int], _Pending] = {}
        for position, record in enumerate(records):
            try:
                lines = encode_chunk(read_record(DownsampledChunk, record, _TOPIC))
            except ValueError as error:
                rejected.append(Rejected(position, str(error)))
                continue
            place = (lines.series, lines.start_ms)
            other = pending.get(place)
            if other is None or other.lines.revision <= lines.revision:
                pending[place] = _Pending(position, lines, replaces=other is not None)
        ready = self._not_superseded(list(pending.values()))
        self._delete([each.lines for each in ready if each.replaces], is_mine)
        refused = self._writer.write(
            [RecordLines(each.position, each.lines.text, each.lines.line_count) for each in ready], is_mine
        )
        self._note([each.lines for each in ready])
        return WriteResult(
            written=len(ready) - len(refused),
            superseded=len(records) - len(rejected) - len(ready),
            rejected=tuple(sorted(rejected + refused, key=lambda one: one.index)),
        )

    def remember(self, records: Sequence[bytes]) -> None:
        """Note the chunks of records that were written before: see `RecordStore.remember`."""
        for record in records:
            with suppress(ValueError):  # it was refused when it was written
                self._note([encode_chunk(read_record(DownsampledChunk, record, _TOPIC))])

    def ping(self) -> None:
        """Return if InfluxDB answers and takes the token for this bucket; raise `StoreUnavailable` if not."""
        self._connection.post(b"# nothing\n")

    def close(self) -> None:
        """Give up requests that have not started, wait for the others and close the connections."""
        self._writer.close()
        self._connection.close()

    def _note(self, chunks: Sequence[ChunkLines]) -> None:
        for chunk in chunks:
            self._newest.note(chunk.series, WrittenChunk(chunk.start_ms, chunk.end_ms, chunk.revision))

    def _not_superseded(self, pending: list[_Pending]) -> list[_Pending]:
        """Leave out what is older than what is there; return the others, with whether each replaces something."""
        doubtful = [each for each in pending if self._newest.is_doubtful(each.lines.series, each.lines.start_ms)]
        stored = self._stored([each.lines for each in doubtful])
        ready = []
        for each in pending:
            lines = each.lines
            there = self._newest.at(lines.series, lines.start_ms)
            within = [there] if there is not None else stored.get(lines.series, [])
            within = [other for other in within if lines.start_ms <= other.start_ms < lines.end_ms]
            if any(other.start_ms == lines.start_ms and other.revision > lines.revision for other in within):
                continue
            same = WrittenChunk(lines.start_ms, lines.end_ms, lines.revision)
            ready.append(each._replace(replaces=each.replaces or any(other != same for other in within)))
        return ready

    def _stored(self, chunks: Sequence[ChunkLines]) -> Mapping[str, list[WrittenChunk]]:
        """Ask InfluxDB what it has of some series between the first start and the last end."""
        stored: dict[str, list[WrittenChunk]] = {}
        for at in range(0, len(chunks), _ASKED_SERIES):
            part = chunks[at : at + _ASKED_SERIES]
            query = stored_chunks_query(
                self._connection.bucket,
                [chunk.series for chunk in part],
                start_ms=min(chunk.start_ms for chunk in part),
                end_ms=max(chunk.end_ms for chunk in part),
            )
            for row in self._connection.rows(query):
                start_ms = time_ms_of(row)
                found = WrittenChunk(start_ms, start_ms + row["span_ms"], row["revision"])
                stored.setdefault(row["sid"], []).append(found)
        return stored

    def _delete(self, chunks: Sequence[ChunkLines], is_mine: Callable[[], bool]) -> None:
        """Delete whatever lies within the bounds of some chunks."""
        self._writer.run([(self._delete_one, chunk, is_mine) for chunk in chunks])

    def _delete_one(self, chunk: ChunkLines, is_mine: Callable[[], bool]) -> None:
        if not is_mine():
            where = self._connection.where
            raise StoreUnavailable(f"{where}: another worker may have these chunks by now, nothing is deleted")
        predicate = f'sid="{chunk.series}"'  # sixteen hexadecimal digits
        self._connection.delete(predicate, start_ms=chunk.start_ms, end_ms=chunk.end_ms)

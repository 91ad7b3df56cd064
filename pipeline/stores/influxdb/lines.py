"""Records as lines to InfluxDB, in requests of many; of a refused request the lines that are refused alone.

Of two records of one line's place the greater revision stays.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

from pipeline.stores.base import Rejected, StoreUnavailable, WriteResult, always
from pipeline.stores.influxdb.connection import InfluxConnection
from pipeline.stores.influxdb.newest import NewestRevisions

_REMEMBERED_LINES = 100_000


class RecordLines(NamedTuple):
    """What one record becomes: one line or several, taken or refused together."""

    position: int
    """Of the record, in the sequence that is written."""
    text: bytes
    size: int = 1


class LineWriter:
    """Sends lines, a few requests at a time; one `write` at a time.

    Parameters
    ----------
    connection
        The bucket.
    batch_lines
        Lines a request; a record of more has one of its own.
    requests_in_flight
        Requests that may wait for an answer at a time.
    """

    def __init__(self, connection: InfluxConnection, *, batch_lines: int, requests_in_flight: int) -> None:
        self._connection = connection
        self._batch_lines = batch_lines
        self._threads = ThreadPoolExecutor(requests_in_flight, thread_name_prefix="influxdb-write")

    def write(self, lines: Sequence[RecordLines], is_mine: Callable[[], bool]) -> list[Rejected]:
        """Write all lines that are taken, in any order; return the records that are refused alone.

        Raises
        ------
        StoreUnavailable
            If a request found InfluxDB down, or ``is_mine`` said no before one.
        """
        batches = self._batches(lines)
        if len(batches) == 1:
            return self._send(batches[0], is_mine)
        return [each for part in self.run([(self._send, batch, is_mine) for batch in batches]) for each in part]

    def run(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Make calls (function and arguments) in the writer's threads; return their results when all have ended.

        Raises
        ------
        StoreUnavailable
            What the first of them raised that did.
        """
        begun = [self._threads.submit(*call) for call in calls]
        results = []
        failure: StoreUnavailable | None = None
        for future in begun:
            try:
                results.append(future.result())
            except StoreUnavailable as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return results

    def close(self) -> None:
        """Give up requests that have not started, and wait for the others."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _batches(self, lines: Sequence[RecordLines]) -> list[list[RecordLines]]:
        batches: list[list[RecordLines]] = []
        count = self._batch_lines
        for each in lines:
            if count + each.size > self._batch_lines:
                batches.append([])
                count = 0
            batches[-1].append(each)
            count += each.size
        return batches

    def _send(self, lines: list[RecordLines], is_mine: Callable[[], bool]) -> list[Rejected]:
        """Write one request's lines, halving it as long as it is refused."""
        refused: list[Rejected] = []
        pending = [lines]
        while pending:
            part = pending.pop()
            if not is_mine():
                where = self._connection.where
                raise StoreUnavailable(f"{where}: another worker may have these records by now, nothing is written")
            reason = self._connection.post(b"\n".join([each.text for each in part]))
            if reason is None:
                continue
            if len(part) == 1:
                refused.append(Rejected(part[0].position, reason))
            else:
                half = len(part) // 2
                pending += [part[half:], part[:half]]
        return refused


class RevisedLine(NamedTuple):
    """What a record becomes.

    Attributes
    ----------
    place
        What it overwrites: measurement, tags and time.
    revision
        Of two of one place the greater is right.
    text
        The line, its time in milliseconds.
    """

    place: bytes
    revision: int
    text: bytes


class RevisedLines:
    """Writes records as lines.

    Parameters
    ----------
    connection
        The bucket; closed with this.
    encode
        A record as its line; ValueError if it is none that this may write.
    batch_lines, requests_in_flight
        As `LineWriter`.
    """

    keeps_revisions = False

    def __init__(
        self,
        connection: InfluxConnection,
        encode: Callable[[bytes], RevisedLine],
        *,
        batch_lines: int,
        requests_in_flight: int,
    ) -> None:
        self._connection = connection
        self._encode = encode
        self._writer = LineWriter(connection, batch_lines=batch_lines, requests_in_flight=requests_in_flight)
        self._newest = NewestRevisions(_REMEMBERED_LINES)

    def write(self, records: Sequence[bytes], is_mine: Callable[[], bool] = always) -> WriteResult:
        """Write records: see `RecordStore.write`."""
        rejected: list[Rejected] = []
        lines: dict[bytes, tuple[int, RevisedLine]] = {}
        superseded = 0
        for index, record in enumerate(records):
            try:
                line = self._encode(record)
            except ValueError as error:
                rejected.append(Rejected(index, str(error)))
                continue
            other = lines.get(line.place)
            if other is not None and other[1].revision > line.revision:
                superseded += 1
                continue
            if self._newest.is_superseded(line.place, line.revision):
                superseded += 1
                continue
            superseded += other is not None
            lines[line.place] = (index, line)
        ready = list(lines.values())
        refused = self._writer.write([RecordLines(index, line.text) for index, line in ready], is_mine)
        for _, line in ready:
            self._newest.remember(line.place, line.revision)
        return WriteResult(
            written=len(ready) - len(refused),
            superseded=superseded,
            rejected=tuple(sorted(rejected + refused, key=lambda one: one.index)),
        )

    def remember(self, records: Sequence[bytes]) -> None:
        """Note the revisions of records that were written before: see `RecordStore.remember`."""
        for record in records:
            with suppress(ValueError):  # it was refused when it was written
                line = self._encode(record)
                self._newest.remember(line.place, line.revision)

    def ping(self) -> None:
        """Return if InfluxDB answers and takes the token for this bucket; raise `StoreUnavailable` if not."""
        self._connection.post(b"# nothing\n")

    def close(self) -> None:
        """Give up requests that have not started, wait for the others and close the connections."""
        self._writer.close()
        self._connection.close()

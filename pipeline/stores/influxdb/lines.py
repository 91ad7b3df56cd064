"""Records that become one line each in InfluxDB: of two of one line's place the greater revision stays."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from pipeline.stores.base import Rejected, WriteResult, always
from pipeline.stores.influxdb.connection import InfluxConnection
from pipeline.stores.influxdb.writing import Lines, LineWriter
from pipeline.stores.revisions import NewestRevisions

_REMEMBERED_LINES = 100_000


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
        refused = self._writer.write([Lines(index, line.text) for index, line in ready], is_mine)
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

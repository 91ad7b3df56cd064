"""Lines to InfluxDB in requests of many; of a refused request the lines that are refused alone."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from pipeline.stores.base import Rejected, StoreUnavailable
from pipeline.stores.influxdb.connection import InfluxConnection


class Lines(NamedTuple):
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

    def write(self, lines: Sequence[Lines], is_mine: Callable[[], bool]) -> list[Rejected]:
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

    def _batches(self, lines: Sequence[Lines]) -> list[list[Lines]]:
        batches: list[list[Lines]] = []
        count = self._batch_lines
        for each in lines:
            if count + each.size > self._batch_lines:
                batches.append([])
                count = 0
            batches[-1].append(each)
            count += each.size
        return batches

    def _send(self, lines: list[Lines], is_mine: Callable[[], bool]) -> list[Rejected]:
        """Write one request's lines, halving it as long as it is refused."""
        refused: list[Rejected] = []
        pending = [lines]
        while pending:
            part = pending.pop()
            if not is_mine():
                where = self._connection.where
                raise StoreUnavailable(f"{where}: another worker may have these records by now, nothing is written")
            refusal = self._connection.post(b"\n".join([each.text for each in part]))
            if refusal is None:
                continue
            if len(part) == 1:
                refused.append(Rejected(part[0].position, refusal.message))
            else:
                half = len(part) // 2
                pending += [part[half:], part[:half]]
        return refused

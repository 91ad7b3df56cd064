"""InfluxDB 2 as a store: ready-made line protocol through influxdb-client's synchronous API."""

import gzip
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
from influxdb_client.client.flux_csv_parser import FluxCsvParserException, FluxQueryException
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService
from urllib3.exceptions import HTTPError

from pipeline.core.influx_encoding import encode_window
from pipeline.stores.base import (
    FUNCTIONS,
    MAX_POINTS,
    MAX_TOP,
    Point,
    Rejected,
    StoredValue,
    StoreUnavailable,
    WriteResult,
    always,
    check_query,
    check_range,
)
from pipeline.stores.flux import range_query, scan_query, top_query
from pipeline.stores.influxdb_errors import Refusal, refusal_or_unavailable
from pipeline.stores.revisions import NewestRevisions

_REMEMBERED_WINDOWS = 100_000
_FAST_GZIP_LEVEL = 1  # the client's own level 9 costs 94 µs a line of 1 kB
_END_OF_SERIES = re.compile(rb"(?<!\\) ")
_NO_TAGS = frozenset({"result", "table", "_time", "_start", "_stop", "_value", "_measurement", "_field"})


class _Line(NamedTuple):
    position: int
    window: bytes
    revision: int
    line: bytes


class InfluxStore:
    """Writes windows into one bucket and reads them back.

    Parameters
    ----------
    url
        ``http://HOST:PORT`` of InfluxDB, without user or password.
    org, bucket
        Where to write.
    token
        What to authenticate with; it appears in no message and no representation.
    compress
        Whether requests are compressed (gzip, fast level): only worth it over a slow network.
    batch_lines
        Lines a request.
    timeout_s
        Seconds a request may take.
    requests_in_flight
        Requests of one `write` that may wait for an answer at a time.

    Raises
    ------
    ValueError
        If the URL carries credentials or the token cannot stand in a header.

    Notes
    -----
    The requests of one `write` hold different windows, so their order does not matter; `write` itself must be called
    from one thread at a time. Reading may go on beside it.
    """

    def __init__(
        self,
        *,
        url: str,
        org: str,
        bucket: str,
        token: str,
        compress: bool = False,
        batch_lines: int = 5000,
        timeout_s: float = 10.0,
        requests_in_flight: int = 2,
    ) -> None:
        if "@" in urlsplit(url).netloc:
            raise ValueError("the URL of InfluxDB must not carry a user or password: give a token")
        if not token or not token.isascii() or not token.isprintable():
            raise ValueError("the token of InfluxDB is empty or holds characters that cannot stand in a header")
        self._where = f"InfluxDB at {url}, bucket {bucket!r}"
        self._org = org
        self._bucket = bucket
        self._token = token
        self._compress = compress
        self._batch_lines = batch_lines
        self._client = InfluxDBClient(
            url=url,
            token=token,
            org=org,
            timeout=round(timeout_s * 1000),
            retries=False,
            connection_pool_maxsize=requests_in_flight + 1,
        )
        self._writing = WriteService(self._client.api_client)  # type: ignore[no-untyped-call]  # it has no types
        self._threads = ThreadPoolExecutor(requests_in_flight, thread_name_prefix="influxdb-write")
        self._newest = NewestRevisions(_REMEMBERED_WINDOWS)

    def write(self, records: Sequence[bytes], is_mine: Callable[[], bool] = always) -> WriteResult:
        """Write records of ``metrics.agg``: see `Store.write`.

        Notes
        -----
        A request that InfluxDB refuses for its content (400: nothing was written; 422: the rest was; 413: too large) is
        halved until the refused lines stand alone. A refusal that is not InfluxDB's own (a proxy's page, say), a token
        that is not taken and a missing bucket are the operator's to mend: `StoreUnavailable`.
        """
        rejected: list[Rejected] = []
        lines: dict[bytes, _Line] = {}
        superseded = 0
        for index, record in enumerate(records):
            try:
                line = _encoded(index, record)
            except ValueError as error:
                rejected.append(Rejected(index, str(error)))
                continue
            other = lines.get(line.window)
            if other is not None and other.revision > line.revision:
                superseded += 1
                continue
            if self._newest.is_superseded(line.window, line.revision):
                superseded += 1
                continue
            superseded += other is not None
            lines[line.window] = line
        ready = list(lines.values())
        refused = self._send_all(ready, is_mine)
        for line in ready:
            self._newest.remember(line.window, line.revision)
        return WriteResult(
            written=len(ready) - len(refused),
            superseded=superseded,
            rejected=tuple(sorted(rejected + refused, key=lambda one: one.index)),
        )

    keeps_revisions = False

    def remember(self, records: Sequence[bytes]) -> None:
        """Note the revisions of records that were written before: see `Store.remember`."""
        for index, record in enumerate(records):
            with suppress(ValueError):  # it was refused when it was written
                line = _encoded(index, record)
                self._newest.remember(line.window, line.revision)

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
    ) -> list[Point]:
        """Return one function of a field for each window of a range: see `Store.query_range`."""
        check_query(function, start_ms=start_ms, end_ms=end_ms, limit=max_points, most=MAX_POINTS)
        query = range_query(
            self._bucket,
            measurement,
            f"{field}_{function}",
            start_ms=start_ms,
            end_ms=end_ms,
            tags=tags or {},
            max_points=max_points,
        )
        points = [
            Point(round(row["_time"].timestamp() * 1000), float(row["_value"]), _tags(row))
            for row in self._query(query)
        ]
        return sorted(points, key=lambda point: (point.start_ms, sorted(point.tags.items())))

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
    ) -> list[Point]:
        """Return the series with the greatest value over a range: see `Store.query_top`."""
        check_query(function, start_ms=start_ms, end_ms=end_ms, limit=n, most=MAX_TOP)
        query = top_query(
            self._bucket,
            measurement,
            field,
            function,
            start_ms=start_ms,
            end_ms=end_ms,
            tags=tags or {},
            n=n,
            by_tag=by_tag,
        )
        points = [Point(start_ms, float(row["_value"]), _tags(row)) for row in self._query(query)]
        return sorted(points, key=lambda point: (-point.value, sorted(point.tags.items())))

    def scan(self, start_ms: int, end_ms: int) -> Generator[StoredValue, None, None]:
        """Yield what the bucket has of a range: see `Store.scan`. A field that names no function is not ours."""
        check_range(start_ms, end_ms)
        for row in self._rows(scan_query(self._bucket, start_ms=start_ms, end_ms=end_ms)):
            field, _, function = row["_field"].rpartition("_")
            if function in FUNCTIONS and isinstance(row["_value"], int | float):
                time_ms = round(row["_time"].timestamp() * 1000)
                yield StoredValue(row["_measurement"], _tags(row), time_ms, field, function, float(row["_value"]))

    def ping(self) -> None:
        """Return if InfluxDB answers and takes the token for this bucket; raise `StoreUnavailable` if not."""
        self._post(b"# nothing\n")

    def close(self) -> None:
        """Give up requests that have not started, wait for the others and close the connections."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._client.close()  # type: ignore[no-untyped-call]

    def _send_all(self, lines: list[_Line], is_mine: Callable[[], bool]) -> list[Rejected]:
        batches = [lines[at : at + self._batch_lines] for at in range(0, len(lines), self._batch_lines)]
        if len(batches) == 1:
            return self._send(batches[0], is_mine)
        sent = [self._threads.submit(self._send, batch, is_mine) for batch in batches]
        refused: list[Rejected] = []
        failure: StoreUnavailable | None = None
        for future in sent:
            try:
                refused += future.result()
            except StoreUnavailable as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return refused

    def _send(self, lines: list[_Line], is_mine: Callable[[], bool]) -> list[Rejected]:
        """Write one request's lines, halving it as long as it is refused; return the lines refused alone."""
        refused: list[Rejected] = []
        pending = [lines]
        while pending:
            part = pending.pop()
            if not is_mine():
                raise StoreUnavailable(
                    f"{self._where}: another worker may have these windows by now, nothing is written"
                )
            refusal = self._post(b"\n".join([line.line for line in part]))
            if refusal is None:
                continue
            if len(part) == 1:
                refused.append(Rejected(part[0].position, refusal.message))
            else:
                half = len(part) // 2
                pending += [part[half:], part[:half]]
        return refused

    def _post(self, body: bytes) -> Refusal | None:
        """Send one body; return why its content was refused, or none if it was taken."""
        encoding: dict[str, str] = {}
        if self._compress:
            body = gzip.compress(body, compresslevel=_FAST_GZIP_LEVEL, mtime=0)
            encoding["content_encoding"] = "gzip"
        try:
            self._writing.post_write(  # type: ignore[no-untyped-call]
                org=self._org, bucket=self._bucket, body=body, precision="ms", **encoding
            )
        except ApiException as error:
            return refusal_or_unavailable(error, where=self._where, secret=self._token)
        except (HTTPError, UnicodeDecodeError) as error:
            raise StoreUnavailable(f"{self._where}: no answer: {error}") from error
        return None

    def _query(self, query: str) -> list[dict[str, Any]]:
        return list(self._rows(query))

    def _rows(self, query: str) -> Iterator[dict[str, Any]]:
        try:
            for record in self._client.query_api().query_stream(query):
                yield record.values
        except ApiException as error:
            refusal = refusal_or_unavailable(error, where=self._where, secret=self._token)
            raise StoreUnavailable(f"{self._where}: the query was refused: {refusal.message}") from error
        except (HTTPError, UnicodeDecodeError, FluxCsvParserException, FluxQueryException) as error:
            raise StoreUnavailable(f"{self._where}: the query failed: {error}") from error


def _encoded(index: int, record: bytes) -> _Line:
    window = orjson.loads(record)
    if not isinstance(window, dict) or type(window.get("revision")) is not int:
        raise ValueError("not a record of metrics.agg: no integer revision")
    line = encode_window(window)
    end = _END_OF_SERIES.search(line)
    series = line if end is None else line[: end.start()]
    return _Line(index, series + line[line.rindex(b" ") :], window["revision"], line)


def _tags(row: Mapping[str, Any]) -> dict[str, str]:
    return {key: value for key, value in row.items() if key not in _NO_TAGS and value is not None}

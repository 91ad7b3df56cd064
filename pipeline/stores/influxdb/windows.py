"""InfluxDB 2 as a store: ready-made line protocol through influxdb-client's synchronous API."""

import re
from collections.abc import Callable, Generator, Mapping, Sequence

import orjson

from pipeline.core.influx.windows import encode_window
from pipeline.stores.base import (
    FUNCTIONS,
    MAX_POINTS,
    MAX_TOP,
    SeriesPoint,
    StoredValue,
    WriteResult,
    always,
    check_query,
    check_range,
)
from pipeline.stores.influxdb.connection import InfluxConnection, tags_of, time_ms_of
from pipeline.stores.influxdb.flux import Selection, range_query, scan_query, top_query
from pipeline.stores.influxdb.lines import RevisedLine, RevisedLines

_END_OF_SERIES = re.compile(rb"(?<!\\) ")


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
        self._bucket = bucket
        self._connection = InfluxConnection(
            url=url,
            org=org,
            bucket=bucket,
            token=token,
            compress=compress,
            timeout_s=timeout_s,
            connections=requests_in_flight + 1,
        )
        self._lines = RevisedLines(
            self._connection, _encoded, batch_lines=batch_lines, requests_in_flight=requests_in_flight
        )

    def write(self, records: Sequence[bytes], is_mine: Callable[[], bool] = always) -> WriteResult:
        """Write records of ``metrics.agg``: see `RecordStore.write`.

        Notes
        -----
        A request that InfluxDB refuses for its content (400: nothing was written; 422: the rest was; 413: too large) is
        halved until the refused lines stand alone. A refusal that is not InfluxDB's own (a proxy's page, say), a token
        that is not taken and a missing bucket are the operator's to mend: `StoreUnavailable`.
        """
        return self._lines.write(records, is_mine)

    keeps_revisions = False

    def remember(self, records: Sequence[bytes]) -> None:
        """Note the revisions of records that were written before: see `RecordStore.remember`."""
        self._lines.remember(records)

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
        selection = Selection(self._bucket, measurement, start_ms, end_ms, tags or {})
        query = range_query(selection, f"{field}_{function}", max_points=max_points)
        points = [
            SeriesPoint(time_ms_of(row), float(row["_value"]), tags_of(row)) for row in self._connection.rows(query)
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
    ) -> list[SeriesPoint]:
        """Return the series with the greatest value over a range: see `Store.query_top`."""
        check_query(function, start_ms=start_ms, end_ms=end_ms, limit=n, most=MAX_TOP)
        selection = Selection(self._bucket, measurement, start_ms, end_ms, tags or {})
        query = top_query(selection, field, function, n=n, by_tag=by_tag)
        points = [SeriesPoint(start_ms, float(row["_value"]), tags_of(row)) for row in self._connection.rows(query)]
        return sorted(points, key=lambda point: (-point.value, sorted(point.tags.items())))

    def scan(self, start_ms: int, end_ms: int) -> Generator[StoredValue, None, None]:
        """Yield what the bucket has of a range: see `Store.scan`. A field that names no function is not ours."""
        check_range(start_ms, end_ms)
        for row in self._connection.rows(scan_query(self._bucket, start_ms=start_ms, end_ms=end_ms)):
            field, _, function = row["_field"].rpartition("_")
            if function in FUNCTIONS and isinstance(row["_value"], int | float):
                value = float(row["_value"])
                yield StoredValue(row["_measurement"], tags_of(row), time_ms_of(row), field, function, value)

    def ping(self) -> None:
        """Return if InfluxDB answers and takes the token for this bucket; raise `StoreUnavailable` if not."""
        self._lines.ping()

    def close(self) -> None:
        """Give up requests that have not started, wait for the others and close the connections."""
        self._lines.close()


def _encoded(record: bytes) -> RevisedLine:
    window = orjson.loads(record)
    if not isinstance(window, dict) or type(window.get("revision")) is not int:
        raise ValueError("not a record of metrics.agg: no integer revision")
    line = encode_window(window)
    end = _END_OF_SERIES.search(line)
    series = line if end is None else line[: end.start()]
    return RevisedLine(series + line[line.rindex(b" ") :], window["revision"], line)

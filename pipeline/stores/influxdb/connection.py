"""One bucket of an InfluxDB 2, through influxdb-client: bodies of line protocol in, rows of queries out.

An error answer means either that the content was refused for good, or that the store is unavailable for now.
"""

import gzip
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import orjson
from influxdb_client.client.flux_csv_parser import FluxCsvParserException, FluxQueryException
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService
from urllib3.exceptions import HTTPError

from pipeline.stores.base import StoreUnavailable

FAST_GZIP_LEVEL = 1
"""For windows: the client's own level 9 costs 94 µs a line of 1 kB."""
SMALL_GZIP_LEVEL = 6
"""For lines that repeat each other, as those of a chunk do: a fifth smaller, 2.4 in place of 1.7 µs a line."""

_LONGEST_MESSAGE = 500
_LONGEST_RETRY_AFTER_S = 3600.0
_ADVICE = {
    HTTPStatus.UNAUTHORIZED: "check the token",
    HTTPStatus.FORBIDDEN: "the token may not do this: check its permissions",
    HTTPStatus.NOT_FOUND: "check the organisation and the bucket",
}
_NO_TAGS = frozenset({"result", "table", "_time", "_start", "_stop", "_value", "_measurement", "_field"})


class InfluxConnection:
    """Requests to one bucket; any number of threads may make them.

    Parameters
    ----------
    url
        ``http://HOST:PORT`` of InfluxDB, without user or password.
    org, bucket
        Where.
    token
        What to authenticate with; it appears in no message and no representation.
    compress
        Whether bodies are compressed (gzip).
    gzip_level
        How much.
    timeout_s
        Seconds a request may take.
    connections
        Connections that are kept open.

    Raises
    ------
    ValueError
        If the URL carries credentials or the token cannot stand in a header.
    """

    def __init__(
        self,
        *,
        url: str,
        org: str,
        bucket: str,
        token: str,
        compress: bool = False,
        gzip_level: int = FAST_GZIP_LEVEL,
        timeout_s: float = 10.0,
        connections: int = 3,
    ) -> None:
        if "@" in urlsplit(url).netloc:
            raise ValueError("the URL of InfluxDB must not carry a user or password: give a token")
        if not token or not token.isascii() or not token.isprintable():
            raise ValueError("the token of InfluxDB is empty or holds characters that cannot stand in a header")
        self.where = f"InfluxDB at {url}, bucket {bucket!r}"
        self.org = org
        self.bucket = bucket
        self._token = token
        self._compress = compress
        self._gzip_level = gzip_level
        self.client = InfluxDBClient(
            url=url,
            token=token,
            org=org,
            timeout=round(timeout_s * 1000),
            retries=False,
            connection_pool_maxsize=connections,
        )
        self._writing = WriteService(self.client.api_client)  # type: ignore[no-untyped-call]  # it has no types

    def post(self, body: bytes) -> str | None:
        """Write a body of lines with times in milliseconds.

        Returns
        -------
        str or None
            Why its content was refused for good; none if it was taken.

        Raises
        ------
        StoreUnavailable
            If InfluxDB did not decide.
        """
        encoding: dict[str, str] = {}
        if self._compress:
            body = gzip.compress(body, compresslevel=self._gzip_level, mtime=0)
            encoding["content_encoding"] = "gzip"
        try:
            self._writing.post_write(  # type: ignore[no-untyped-call]
                org=self.org, bucket=self.bucket, body=body, precision="ms", **encoding
            )
        except ApiException as error:
            return self._refused_for_good(error)
        except (HTTPError, UnicodeDecodeError) as error:
            raise StoreUnavailable(f"{self.where}: no answer: {error}") from error
        return None

    def rows(self, query: str) -> Generator[dict[str, Any], None, None]:
        """Yield the rows that a Flux query finds; `StoreUnavailable` if it fails."""
        try:
            for record in self.client.query_api().query_stream(query):
                yield record.values
        except ApiException as error:
            reason = self._refused_for_good(error)
            raise StoreUnavailable(f"{self.where}: the query was refused: {reason}") from error
        except (HTTPError, UnicodeDecodeError, FluxCsvParserException, FluxQueryException) as error:
            raise StoreUnavailable(f"{self.where}: the query failed: {error}") from error

    def delete(self, predicate: str, *, start_ms: int, end_ms: int) -> None:
        """Delete the points of a predicate with times in ``[start_ms, end_ms)``; `StoreUnavailable` if it fails."""
        with self.explained("the deletion"):
            self.client.delete_api().delete(
                _utc(start_ms), _utc(end_ms - 1), predicate, bucket=self.bucket, org=self.org
            )

    @contextmanager
    def explained(self, what: str) -> Iterator[None]:
        """Turn the client's errors into `StoreUnavailable`, without the token."""
        try:
            yield
        except ApiException as error:
            raise StoreUnavailable(f"{self.where}: {what} was refused: {self._refused_for_good(error)}") from error
        except (HTTPError, UnicodeDecodeError) as error:
            raise StoreUnavailable(f"{self.where}: {what} failed, no answer: {error}") from error

    def close(self) -> None:
        """Close the connections; a second call does nothing."""
        self.client.close()  # type: ignore[no-untyped-call]

    def _refused_for_good(self, error: ApiException) -> str:
        return _refused_for_good(error, where=self.where, secret=self._token)


def tags_of(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags in a row of a query."""
    return {key: value for key, value in row.items() if key not in _NO_TAGS and value is not None}


def time_ms_of(row: Mapping[str, Any]) -> int:
    """Return the time of a row of a query in UTC milliseconds."""
    time: datetime = row["_time"]
    return round(time.timestamp() * 1000)


def _utc(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def _refused_for_good(error: ApiException, *, where: str, secret: str) -> str:
    """Return InfluxDB's reason if it will never take the content (400, 413, 422).

    Parameters
    ----------
    error
        What the client raised for an answer other than 2xx.
    where
        The store's name for messages.
    secret
        Taken out of whatever the server said.

    Raises
    ------
    StoreUnavailable
        For every other answer; with ``retry_after_s`` if the server asked for a pause.
    """
    code, message = _code_and_message(error.body)
    message = message.replace(secret, "***")[:_LONGEST_MESSAGE]
    refused = {HTTPStatus.BAD_REQUEST: "invalid", HTTPStatus.UNPROCESSABLE_ENTITY: "unprocessable entity"}
    if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or (code and refused.get(error.status) == code):
        return message or "the request is too large"
    advice = _ADVICE.get(error.status)
    explained = f" ({advice})" if advice else ""
    raise StoreUnavailable(
        f"{where}: answered {error.status or 'nothing'}: {message or error.reason}{explained}",
        retry_after_s=_retry_after_s(error.headers),
    ) from error


def _code_and_message(body: str | bytes | None) -> tuple[str, str]:
    """Return the code and message of InfluxDB's error document; the code is empty if the body is something else."""
    try:
        document = orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        text = body.decode(errors="replace") if isinstance(body, bytes) else body or ""
        return "", text
    if not isinstance(document, dict):
        return "", ""
    return str(document.get("code", "")), str(document.get("message", ""))


def _retry_after_s(headers: Any) -> float | None:
    """Return the seconds of a ``Retry-After`` header (seconds or a date); none if it is absent or neither."""
    text = (headers or {}).get("Retry-After")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_S)

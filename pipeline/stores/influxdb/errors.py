"""What an error answer of InfluxDB means: the content was refused for good, or the store is unavailable for now."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import orjson
from influxdb_client.rest import ApiException

from pipeline.stores.base import StoreUnavailable

_LONGEST_MESSAGE = 500
_LONGEST_RETRY_AFTER_S = 3600.0
_ADVICE = {
    HTTPStatus.UNAUTHORIZED: "check the token",
    HTTPStatus.FORBIDDEN: "the token may not do this: check its permissions",
    HTTPStatus.NOT_FOUND: "check the organisation and the bucket",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """InfluxDB will never take this content."""

    message: str


def refusal_or_unavailable(error: ApiException, *, where: str, secret: str) -> Refusal:
    """Return the refusal if InfluxDB itself refused the content (400, 413, 422).

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
        return Refusal(message or "the request is too large")
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

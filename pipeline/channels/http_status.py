"""What an HTTP status means for a message: whether it makes sense to send it again."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from pipeline.channels.base import NotDelivered
from schemas.action import ActionReason

__all__ = ["LONGEST_RETRY_AFTER_S", "not_delivered", "retry_after_s"]

LONGEST_RETRY_AFTER_S = 3600.0
_TRY_LATER = frozenset((HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.LOCKED, HTTPStatus.TOO_EARLY))
_WHO = frozenset((HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED))
_NEVER = frozenset((HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.HTTP_VERSION_NOT_SUPPORTED))


def not_delivered(status: int, asked_s: float | None = None) -> NotDelivered | None:
    """Return what a status means; None if it is 2xx.

    429, 5xx and what says that it is only so now can be retried; other answers stay what they are, redirects too: a
    message is not carried to where a server points.

    Parameters
    ----------
    status
        The answer's status.
    asked_s
        What the server asked to wait.
    """
    if 200 <= status < 300:
        return None
    text = f"the server answered {status} {_phrase(status)}".rstrip()
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return NotDelivered(ActionReason.THROTTLED, text, can_retry=True, retry_after_s=asked_s)
    if status in _TRY_LATER or (status >= 500 and status not in _NEVER):
        return NotDelivered(ActionReason.UNAVAILABLE, text, can_retry=True, retry_after_s=asked_s)
    reason = ActionReason.AUTHENTICATION if status in _WHO else ActionReason.REJECTED
    return NotDelivered(reason, text, can_retry=False)


def retry_after_s(header: str | None, now: datetime | None = None) -> float | None:
    """Return what a Retry-After header asks for, at most an hour; None for no header, or one that makes no sense.

    Examples
    --------
    >>> retry_after_s("30"), retry_after_s("86400"), retry_after_s("soon"), retry_after_s(None)
    (30.0, 3600.0, None, None)
    >>> retry_after_s("Wed, 21 Oct 2026 07:28:00 GMT", datetime(2026, 10, 21, 7, 27, 30, tzinfo=UTC))
    30.0
    """
    if header is None:
        return None
    try:
        asked_s = float(header)
    except ValueError:
        try:
            asked_s = (parsedate_to_datetime(header) - (now or datetime.now(UTC))).total_seconds()
        except (ValueError, TypeError):  # no date, or one without a zone
            return None
    return min(max(asked_s, 0.0), LONGEST_RETRY_AFTER_S) if math.isfinite(asked_s) else None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""

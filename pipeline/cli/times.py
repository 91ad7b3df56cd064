"""How durations and moments are written on the command line."""

import re
from datetime import UTC, datetime

from schemas.durations import duration_ms

__all__ = ["duration_ms", "moment_ms", "moment_or_ago_ms"]

_MILLISECONDS = re.compile(r"-?[0-9]{1,15}")


def moment_ms(text: str, *, now_ms: int) -> int:
    """Return a moment in UTC milliseconds: ``now``, a number of milliseconds, or ISO 8601 (UTC unless it says more).

    Raises
    ------
    ValueError
        If it is none of these.
    """
    text = text.strip()
    if text == "now":
        return now_ms
    if _MILLISECONDS.fullmatch(text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(
            f"{text!r} is no moment: write now, milliseconds since 1970, or a date as in 2026-05-28T20:27:00Z"
        ) from error
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def moment_or_ago_ms(text: str, *, now_ms: int) -> int:
    """Return a moment as `moment_ms` does, or one so long ago: ``1h``.

    Raises
    ------
    ValueError
        If it is neither.
    """
    try:
        return now_ms - duration_ms(text)
    except ValueError:
        pass
    try:
        return moment_ms(text, now_ms=now_ms)
    except ValueError as error:
        raise ValueError(f"{error}, or a duration ago as in 1h") from error

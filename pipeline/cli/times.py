"""How durations and moments are written on the command line."""

import re
from datetime import UTC, datetime

__all__ = ["duration_ms", "moment_ms"]

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_LONGEST_MS = 100 * 365 * 86_400_000
_MILLISECONDS = re.compile(r"-?[0-9]{1,15}")


def duration_ms(text: str) -> int:
    """Return a duration like ``10s``, ``1.5h`` or ``250ms`` in milliseconds.

    Raises
    ------
    ValueError
        If it is no number with one of the units ms, s, m, h, d, is no whole number of milliseconds, or is 0 or longer
        than a hundred years.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no duration: write a number and ms, s, m, h or d, as in 10s")
    length_ms = float(found[1]) * _UNITS_MS[found[2]]
    if not 1 <= length_ms <= _LONGEST_MS or abs(length_ms - round(length_ms)) > 1e-6:
        raise ValueError(f"{text!r} must be a whole number of milliseconds, from 1 ms to 36500d")
    return round(length_ms)


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

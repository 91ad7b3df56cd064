"""How durations are written, on the command line and in policies: a number and a unit, as in ``5m``."""

import re

__all__ = ["LONGEST_MS", "duration_ms", "duration_text"]

LONGEST_MS = 100 * 365 * 86_400_000
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")


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
    if not 1 <= length_ms <= LONGEST_MS or abs(length_ms - round(length_ms)) > 1e-6:
        raise ValueError(f"{text!r} must be a whole number of milliseconds, from 1 ms to 36500d")
    return round(length_ms)


def duration_text(length_ms: int) -> str:
    """Return a duration in the greatest unit that it is a whole number of.

    Examples
    --------
    >>> duration_text(300_000), duration_text(90_000), duration_text(0)
    ('5m', '90s', '0s')
    """
    if length_ms == 0:
        return "0s"
    unit = next(unit for unit in reversed(_UNITS_MS) if length_ms % _UNITS_MS[unit] == 0)
    return f"{length_ms // _UNITS_MS[unit]}{unit}"

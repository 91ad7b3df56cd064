"""How serious an alert or anomaly is: the names in records, the codes in compiled code, and their order."""

from collections.abc import Iterable
from enum import IntEnum
from typing import Final, Literal

__all__ = ["LEVELS", "LevelName", "Severity", "greatest"]

LevelName = Literal["info", "warn", "critical"]
"""As records and documents have it."""
LEVELS: Final[tuple[LevelName, ...]] = ("info", "warn", "critical")
"""From the least serious to the most."""


class Severity(IntEnum):
    """The codes of compiled code and snapshots: a code never changes its meaning; they compare by how serious they are.

    Examples
    --------
    >>> Severity.of("warn"), Severity.CRITICAL.level, Severity.of(None) < Severity.INFO
    (<Severity.WARN: 2>, 'critical', True)
    """

    NORMAL = 0
    INFO = 1
    WARN = 2
    CRITICAL = 3

    @classmethod
    def of(cls, level: LevelName | None) -> "Severity":
        """Return the code of a level; None is normal."""
        return _CODES[level]

    @property
    def level(self) -> LevelName | None:
        """The level's name in records; None for normal."""
        return _NAMES[self]


_CODES: Final[dict[LevelName | None, Severity]] = {
    None: Severity.NORMAL,
    "info": Severity.INFO,
    "warn": Severity.WARN,
    "critical": Severity.CRITICAL,
}
_NAMES: Final = {code: name for name, code in _CODES.items()}


def greatest(levels: Iterable[LevelName | None]) -> LevelName | None:
    """Return the most serious of some levels, None if there is none.

    Examples
    --------
    >>> greatest(["info", None, "critical", "warn"]), greatest([])
    ('critical', None)
    """
    return max(map(Severity.of, levels), default=Severity.NORMAL).level

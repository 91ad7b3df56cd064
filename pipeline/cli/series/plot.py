"""A series drawn with characters, and where it alerts."""

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from pipeline.core.compiled import Array

__all__ = ["plotted"]

_BARS: Final = "▁▂▃▄▅▆▇█"


def plotted(values: "Array", alerting: "Array", width: int) -> list[str]:
    """Return two lines: the greatest value of each part of the rows as a bar, and a mark where a part alerts.

    Parameters
    ----------
    values : float64[n]
        NaN is left out; a part without values is blank.
    alerting : bool[n]
        The rows that alert.
    width : int
        Characters of a line, from 1.

    Examples
    --------
    >>> plotted(np.array([0.0, 1, 2, 7, 1, 0]), np.array([0, 0, 0, 1, 0, 0], bool), 6)
    ['▁▂▃█▂▁', '   ^  ']
    """
    finite = np.isfinite(values)
    if not finite.any():
        return ["", ""]
    least, greatest = values[finite].min(), values[finite].max()
    bars, marks = [], []
    for part in np.array_split(np.arange(len(values)), min(width, len(values))):
        known = values[part][finite[part]]
        with np.errstate(over="ignore", invalid="ignore"):
            share = (
                (known.max() / 2 - least / 2) / (greatest / 2 - least / 2) if len(known) and greatest > least else 0.0
            )
        bars.append(_BARS[min(int(share * len(_BARS)), len(_BARS) - 1)] if len(known) else " ")
        marks.append("^" if alerting[part].any() else " ")
    return ["".join(bars), "".join(marks)]

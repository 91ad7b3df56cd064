"""How near decoded values are to the samples: the figures of merit of down-sampling."""

import math
from typing import NamedTuple

import numpy as np

from pipeline.core.compiled import Array

__all__ = ["Quality", "quality"]

_EXTREME_SHARE = 0.01
"""The greatest and the least samples that count as extremes, each."""
_EXTREME_TOLERANCE = 0.02
"""Of the range: with the share above, the measure of docs/explanation/downsampling.md, not a choice of the encoder."""


class Quality(NamedTuple):
    """Errors as shares of the samples' range; 0 for a constant series that is decoded exactly."""

    nrmse: float
    """Root of the mean squared error."""
    p99: float
    """The absolute error that 99 % of the samples do not exceed."""
    extremes: float
    """Share of the greatest and least 1 % of the samples that are decoded within a sample and 2 % of the range."""


def quality(values: Array, restored: Array) -> Quality:
    """Return how near ``restored`` is to ``values``.

    Parameters
    ----------
    values, restored : float64[n]
        The samples in the order of their times, and what is decoded at those. What is not finite in either is left out.

    Examples
    --------
    >>> quality(np.array([0.0, 10.0, 0.0, 10.0]), np.array([0.0, 10.0, 1.0, 10.0]))
    Quality(nrmse=0.05, p99=0.1, extremes=1.0)
    """
    known = np.isfinite(values) & np.isfinite(restored)
    values, restored = values[known], restored[known]
    if not len(values):
        return Quality(0.0, 0.0, 1.0)
    spread = float(values.max() - values.min()) or 1.0
    error = np.abs(values - restored) / spread
    return Quality(
        nrmse=math.sqrt(float(np.mean(error * error))),
        p99=float(np.quantile(error, 0.99, method="higher")),
        extremes=_extremes_kept(values / spread, restored / spread),
    )


def _extremes_kept(values: Array, restored: Array) -> float:
    """Return the share of extremes for which a decoded value beside or at their time is near."""
    count = max(1, round(_EXTREME_SHARE * len(values)))
    order = np.argsort(values, kind="stable")
    padded = np.concatenate([restored[:1], restored, restored[-1:]])
    places = np.concatenate([order[:count], order[-count:]])
    nearest = np.min([np.abs(padded[places + beside] - values[places]) for beside in (0, 1, 2)], axis=0)
    return float(np.mean(nearest <= _EXTREME_TOLERANCE))

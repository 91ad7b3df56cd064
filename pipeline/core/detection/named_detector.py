"""One of river's detectors on one series for ever: it knows its last samples alone, so a restart can replay them."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from pipeline.core.anomalies.step import GREATEST
from schemas.detection_rule import Parameter

if TYPE_CHECKING:
    from pipeline.core.anomalies.detectors import RawDetector

KNOWN: Final = 500
"""A detector knows so many samples at least, and fewer than twice as many."""


class NamedDetector:
    """Scores one series' samples, each by the 500 to 1,000 before it.

    river's objects cannot be written down, samples can: after every 500 samples a detector takes over that has learnt
    those alone, so its state follows from at most 1,000 samples however long the series is. That costs a second
    learning of each sample.

    Parameters
    ----------
    name : str
        One of :data:`pipeline.core.anomalies.detectors.DETECTORS`.
    parameters : iterable of pairs
        Of that detector.
    samples : iterable of float
        What :attr:`samples` gave before a restart.

    Raises
    ------
    DetectorError
        See :func:`pipeline.core.anomalies.detectors.make_detector`.

    Examples
    --------
    >>> one = NamedDetector("StandardAbsoluteDeviation", ())
    >>> scores = [one.score(float(value)) for value in [3, 4] * 400]
    >>> again = NamedDetector("StandardAbsoluteDeviation", (), one.samples)
    >>> len(one.samples), again.score(9.0) == one.score(9.0)
    (800, True)
    """

    def __init__(self, name: str, parameters: Iterable[tuple[str, Parameter]], samples: Iterable[float] = ()) -> None:
        self._name = name
        self._parameters = dict(parameters)
        self._current = self._new()
        self._next = self._new()
        self.samples: list[float] = []
        """What it has learnt, the oldest first."""
        for sample in samples:
            self._learn(sample)

    def score(self, value: float) -> float:
        """Return the raw score of a sample, then learn it; NaN for what is no sample."""
        if not math.isfinite(value):
            return math.nan
        value = min(max(value, -GREATEST), GREATEST)
        score = self._current.score_one(value)
        self._learn(value)
        return score

    def _learn(self, value: float) -> None:
        self._current.learn_one(value)
        if len(self.samples) >= KNOWN:
            self._next.learn_one(value)
        self.samples.append(value)
        if len(self.samples) == 2 * KNOWN:
            self._current = self._next
            self._next = self._new()
            del self.samples[:KNOWN]

    def _new(self) -> "RawDetector":
        from pipeline.core.anomalies.detectors import make_detector  # noqa: PLC0415  it loads river

        return make_detector(self._name, self._parameters)

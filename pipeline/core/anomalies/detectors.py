"""Detectors by name, with river's interface: our own for one series, and those of river that may be named.

river takes a second to load: what every worker imports loads this module only where a detector of river's is named.
"""

import math
from collections.abc import Callable, Hashable, Mapping
from datetime import UTC, tzinfo
from typing import Any, Protocol

import numpy as np
from river import anomaly as river_anomaly
from river import linear_model, preprocessing
from river import time_series as river_time_series
from river.base.anomaly_detector import AnomalyDetector

from pipeline.core.anomalies.scorer import DEFAULT_DETECTOR, ScoreReporter, SeriesScorer
from pipeline.core.anomalies.step import GREATEST, Scores
from pipeline.core.compiled import Array

__all__ = [
    "DEFAULT_DETECTOR",
    "DETECTORS",
    "DetectorError",
    "RawDetector",
    "SeriesDetector",
    "check_detector",
    "make_detector",
    "score_series",
]

_LEARNT_FROM = 10
"""Samples before a forecaster or a detector of a target is asked: on one or two, a spread of 0 makes scores of 1e10."""
_LEAST_TAIL = 1e-16
"""The least probability that 1 less a score can stand for."""
_river: Any = river_anomaly  # its annotations are stricter than its code
_time_series: Any = river_time_series
Parameter = float | int | bool


class DetectorError(ValueError):
    """A detector that may not be named, or a parameter that it does not take."""


class SeriesDetector(AnomalyDetector):
    """One series of a `SeriesScorer`, with river's interface; its scores are the scorer's to the bit.

    Features are ``value`` and ``time_ms`` (event time, milliseconds since 1970; 0 without it).

    Parameters
    ----------
    zone : datetime.tzinfo
        Time zone of the series.
    """

    def __init__(self, zone: tzinfo = UTC) -> None:
        self.zone = zone
        self._scorer = SeriesScorer((zone,), rows=2)

    def score_one(self, x: dict[Hashable, Any]) -> float:
        """Return the score that ``x`` would be reported with; nothing is learnt."""
        one = np.zeros(1, np.int64)
        self._scorer.restore(one + 1, self._scorer.snapshot(one))
        return float(self._update(1, x).score[0])

    def learn_one(self, x: dict[Hashable, Any]) -> None:
        """Learn ``x``."""
        self._update(0, x)

    def _update(self, row: int, x: dict[Hashable, Any]) -> Scores:
        return self._scorer.update(np.array([row]), np.array([int(x.get("time_ms", 0))]), np.array([x["value"]]))


class RawDetector(Protocol):
    """What gives one series' samples raw scores."""

    def score_one(self, value: float) -> float:
        """Return how anomalous ``value`` is; nothing is learnt."""

    def learn_one(self, value: float) -> None:
        """Learn ``value``."""


class _OfFeatures:
    """A river detector of features: the value and its change, in standard deviations or from 0 to 1."""

    def __init__(self, detector: Any, scaler: Any) -> None:
        self._detector = detector
        self._scaler = scaler
        self._last: float | None = None
        self._learnt = 0

    def _features(self, value: float) -> dict[str, float]:
        return {"value": value, "change": 0.0 if self._last is None else value - self._last}

    def score_one(self, value: float) -> float:
        """Return the detector's score, 0 before the first sample."""
        if not self._learnt:
            return 0.0
        return float(self._detector.score_one(self._scaler.transform_one(self._features(value))))

    def learn_one(self, value: float) -> None:
        """Learn the value, the scaler first."""
        features = self._features(value)
        self._scaler.learn_one(features)
        self._detector.learn_one(self._scaler.transform_one(features))
        self._last = value
        self._learnt += 1


class _OfTarget:
    """A river detector of a target: the value itself; scores that are probabilities crowd below 1 and are spread."""

    def __init__(self, detector: Any, *, is_probability: bool = False) -> None:
        self._detector = detector
        self._is_probability = is_probability
        self._learnt = 0

    def score_one(self, value: float) -> float:
        """Return how far the value is from what the detector expects, 0 while it does not know the spread."""
        if self._learnt < _LEARNT_FROM:
            return 0.0
        try:
            score = abs(float(self._detector.score_one({}, value)))
        except TypeError:  # river's rolling variance has fallen below 0 by rounding: its deviation is complex
            return 0.0
        return -math.log(max(1.0 - score, _LEAST_TAIL)) if self._is_probability else score

    def learn_one(self, value: float) -> None:
        """Learn the value."""
        self._detector.learn_one({}, value)
        self._learnt += 1


class _OfForecast:
    """A river forecaster: how far the value is from the forecast.

    river's own PredictiveAnomalyDetection is not used: it learns while it scores.
    """

    def __init__(self, forecaster: Any) -> None:
        self._forecaster = forecaster
        self._learnt = 0

    def score_one(self, value: float) -> float:
        """Return the distance from the forecast, 0 before there is one."""
        if self._learnt < _LEARNT_FROM:
            return 0.0
        return abs(value - float(self._forecaster.forecast(horizon=1)[0]))

    def learn_one(self, value: float) -> None:
        """Learn the value."""
        self._forecaster.learn_one(value)
        self._learnt += 1


def _half_space_trees(**parameters: Parameter) -> RawDetector:
    return _OfFeatures(_river.HalfSpaceTrees(seed=42, **parameters), preprocessing.MinMaxScaler())


def _loda(**parameters: Parameter) -> RawDetector:
    return _OfFeatures(_river.LODA(seed=42, **parameters), preprocessing.StandardScaler())


def _one_class_svm(**parameters: Parameter) -> RawDetector:
    return _OfFeatures(_river.OneClassSVM(**parameters), preprocessing.StandardScaler())


def _gaussian(**parameters: Parameter) -> RawDetector:
    return _OfTarget(_river.GaussianScorer(**{"window_size": 500, **parameters}), is_probability=True)


def _standard_absolute_deviation(**parameters: Parameter) -> RawDetector:
    return _OfTarget(_river.StandardAbsoluteDeviation(**parameters))


def _holt_winters(**parameters: Parameter) -> RawDetector:
    return _OfForecast(_time_series.HoltWinters(**{"alpha": 0.3, "beta": 0.01, **parameters}))


def _snarimax(**parameters: Parameter) -> RawDetector:
    regressor = preprocessing.StandardScaler() | linear_model.LinearRegression()
    return _OfForecast(_time_series.SNARIMAX(**{"p": 6, "d": 0, "q": 0, **parameters}, regressor=regressor))


DETECTORS: Mapping[str, tuple[Callable[..., RawDetector], frozenset[str]]] = {
    "GaussianScorer": (_gaussian, frozenset({"window_size", "grace_period"})),
    "HalfSpaceTrees": (_half_space_trees, frozenset({"n_trees", "height", "window_size"})),
    "LODA": (_loda, frozenset({"n_bins", "n_random_cuts"})),
    "OneClassSVM": (_one_class_svm, frozenset({"nu"})),
    "HoltWinters": (_holt_winters, frozenset({"alpha", "beta"})),
    "SNARIMAX": (_snarimax, frozenset({"p", "d", "q"})),
    "StandardAbsoluteDeviation": (_standard_absolute_deviation, frozenset()),
}
"""River's detectors that may be named, each with the parameters that it takes."""


def make_detector(name: str, parameters: Mapping[str, Parameter] | None = None) -> RawDetector:
    """Return one of river's detectors by its name.

    Raises
    ------
    DetectorError
        If the name is not of :data:`DETECTORS`, or a parameter is not one of its, or out of its range.
    """
    if name not in DETECTORS:
        raise DetectorError(f"detector must be one of {', '.join((DEFAULT_DETECTOR, *DETECTORS))}, got {name!r}")
    make, allowed = DETECTORS[name]
    given = dict(parameters or {})
    for parameter in given.keys() - allowed:
        raise DetectorError(f"{name} takes {', '.join(sorted(allowed)) or 'no parameters'}, got {parameter!r}")
    try:
        return make(**given)
    except (TypeError, ValueError) as error:
        raise DetectorError(f"{name} with {given}: {error}") from error


def check_detector(name: str, parameters: Mapping[str, Parameter]) -> None:
    """Return if there is such a detector and it takes these parameters.

    Raises
    ------
    DetectorError
        See :func:`make_detector`; the detector ``bank`` takes no parameters.
    """
    if name != DEFAULT_DETECTOR:
        make_detector(name, parameters)
    elif parameters:
        raise DetectorError(f"bank takes no parameters, got {', '.join(sorted(parameters))}")


def score_series(
    name: str,
    time_ms: Array,
    values: Array,
    *,
    zone: tzinfo = UTC,
    parameters: Mapping[str, Parameter] | None = None,
) -> Scores:
    """Return the scores of the samples of one series, each by those before it.

    Parameters
    ----------
    name : str
        ``bank``, or one of :data:`DETECTORS`.
    time_ms : (n,) int64
        Event times, in milliseconds since 1970.
    values : (n,) float64
        The samples; those that are not finite are left out.
    zone : datetime.tzinfo
        Time zone of the series.
    parameters : mapping, optional
        Of the named detector.

    Raises
    ------
    DetectorError
        See :func:`make_detector`; the detector ``bank`` takes no parameters.
    """
    check_detector(name, parameters or {})
    if name == DEFAULT_DETECTOR:
        return SeriesScorer((zone,), rows=1).update(np.zeros(len(values), np.int64), time_ms, values)
    detector = make_detector(name, parameters)
    raw_scores = np.array([_raw_score(detector, float(value)) for value in values])
    return ScoreReporter(zone).update(raw_scores, time_ms, values)


def _raw_score(detector: RawDetector, value: float) -> float:
    """Return the score of a sample, then learn it; NaN for what is no sample."""
    if not math.isfinite(value):
        return math.nan
    value = min(max(value, -GREATEST), GREATEST)
    score = detector.score_one(value)
    detector.learn_one(value)
    return score

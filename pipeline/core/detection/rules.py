"""Which series are scored, and how: detection rules over the metric catalogue."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from pipeline.core.anomalies.scorer import DEFAULT_DETECTOR
from pipeline.core.globs import SeriesSelector, glob_matches
from schemas.catalogue import Catalogue
from schemas.detection_rule import DetectionRule, Levels, Parameter

NOT_SCORED: Final = "none"
"""The detector of series that a rule takes out."""
AVERAGE, RATE = "avg", "rate"
_MOST_MEASUREMENTS: Final = 10_000
"""That are remembered with their rules."""
_MOST: Final = 1000
"""Of any parameter: what a rule asks for is made for each of its series."""
_MOST_HEIGHT: Final = 12
"""Of a tree, which has two to its power nodes."""


@dataclass(frozen=True, slots=True)
class Watch:
    """How one series is scored."""

    function: str
    """Which of a window's values."""
    zone: str
    """Time zone, by its name in the IANA database."""
    detector: str = DEFAULT_DETECTOR
    parameters: tuple[tuple[str, Parameter], ...] = ()
    levels: tuple[float, float, float] = (1.5, 2.0, 2.5)
    """From which scores on it is reported as info, warn, critical."""

    def learns_like(self, other: "Watch") -> bool:
        """Return whether what was learnt under one is right under the other: all is equal but the levels."""
        return self.identity == other.identity

    @property
    def identity(self) -> tuple[str, str, str, tuple[tuple[str, Parameter], ...]]:
        """All that the state of a series depends on."""
        return self.function, self.zone, self.detector, self.parameters


def detection_rule(document: Any) -> DetectionRule:
    """Return the rule that a decoded document describes.

    Raises
    ------
    ValueError
        If it is none, or asks for a detector that there is not, or for parameters that it does not take.
    """
    rule = DetectionRule.model_validate(document)
    if rule.detector == NOT_SCORED or (rule.detector == DEFAULT_DETECTOR and not rule.parameters):
        return rule
    for name, value in rule.parameters.items():
        most = _MOST_HEIGHT if name == "height" else _MOST
        if not 0 <= value <= most:
            raise ValueError(f"parameters.{name} must be 0 to {most}, got {value}")
    from pipeline.core.anomalies.detectors import check_detector  # noqa: PLC0415  it loads river

    check_detector(rule.detector, rule.parameters)
    return rule


@dataclass(frozen=True, slots=True)
class Zones:
    """Time zones of series, where no rule says one.

    Attributes
    ----------
    default : str
        For all that no glob matches.
    by_region : mapping of str to str
        Zones by globs of the tag ``region``; the first that matches counts.
    """

    default: str = "UTC"
    by_region: Mapping[str, str] = field(default_factory=dict)

    def of(self, tags: Mapping[str, str]) -> str:
        """Return the zone of a series by its tags."""
        region = tags.get("region")
        if region is not None:
            for glob, zone in self.by_region.items():
                if glob_matches(glob, region):
                    return zone
        return self.default


class DetectionRules:
    """All that decides whether and how a series is scored.

    Parameters
    ----------
    catalogue : Catalogue
        What is scored without a rule, and which fields are counters.
    zones : Zones
        Time zones of series.
    rules : iterable of DetectionRule
        In any order: the first by id that matches counts.

    Examples
    --------
    >>> from schemas.catalogue import load_catalogue
    >>> rules = DetectionRules(load_catalogue(), Zones("Asia/Seoul"))
    >>> rules.watch_of("net", "err_in", {}).function, rules.watch_of("mem", "total", {})
    ('rate', None)
    """

    def __init__(self, catalogue: Catalogue, zones: Zones, rules: Iterable[DetectionRule] = ()) -> None:
        self._catalogue = catalogue
        self._zones = zones
        self._rules = [
            _Matcher(rule, SeriesSelector(rule.where, rule.targets))
            for rule in sorted(rules, key=lambda rule: rule.id)
            if rule.enabled
        ]
        self._watched = {metric.measurement for metric in catalogue.metrics if metric.watched}
        self._by_measurement: dict[str, Sequence[_Matcher]] = {}

    def may_watch(self, measurement: str, tags: Mapping[str, str]) -> bool:
        """Return whether any field of a measurement and tag set might be scored."""
        return measurement in self._watched or any(
            each.rule.detector != NOT_SCORED and each.series.matches_tags(tags) for each in self._rules_for(measurement)
        )

    def _rules_for(self, measurement: str) -> "Sequence[_Matcher]":
        """Return the rules whose measurement this is, in their order."""
        found = self._by_measurement.get(measurement)
        if found is None:
            if len(self._by_measurement) >= _MOST_MEASUREMENTS:
                self._by_measurement.clear()
            found = [each for each in self._rules if glob_matches(each.series.measurement, measurement)]
            self._by_measurement[measurement] = found
        return found

    def watch_of(self, measurement: str, name: str, tags: Mapping[str, str]) -> Watch | None:
        """Return how a series is scored; None for one that is not.

        Parameters
        ----------
        measurement, name : str
            Of the series: its measurement and its field.
        tags : mapping of str to str
            Its canonical tags.
        """
        rule = next(
            (
                each.rule
                for each in self._rules_for(measurement)
                if glob_matches(each.series.field, name) and each.series.matches_tags(tags)
            ),
            None,
        )
        metric = self._catalogue.find(measurement, name)
        function = RATE if metric is not None and metric.kind == "counter" else AVERAGE
        if rule is None:
            return Watch(function, self._zones.of(tags)) if metric is not None and metric.watched else None
        if rule.detector == NOT_SCORED:
            return None
        return Watch(
            rule.function or function,
            rule.zone or self._zones.of(tags),
            rule.detector,
            tuple(sorted(rule.parameters.items())),
            _scores(rule.levels),
        )


class _Matcher(NamedTuple):
    """A rule, and which series it is for."""

    rule: DetectionRule
    series: SeriesSelector


def _scores(levels: Levels) -> tuple[float, float, float]:
    return levels.info, levels.warn, levels.critical

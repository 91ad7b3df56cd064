"""A resource's incident: begun when enough series are anomalous together, reported once, grown by level, ended."""

import pytest

from pipeline.core.anomalies.scorer import Reason
from pipeline.core.detection.host import MOST_NAMED, HostAnomalies, HostLimits, IncidentChange, IncidentUpdate, Reported
from schemas.severity import Severity

LIMITS = HostLimits(least_share=0.25, least_series=2, together_ms=120_000)
WATCHED = 8


class Host:
    """A resource whose windows are a minute long."""

    def __init__(self, limits: HostLimits = LIMITS) -> None:
        self.anomalies: HostAnomalies[str] = HostAnomalies()
        self._limits = limits

    def at(self, minute: int, /, *, watched: int = WATCHED, **scores: float) -> IncidentUpdate[str] | None:
        """Settle a minute, in which series were reported with these scores."""
        end_ms = (minute + 1) * 60_000
        reported = {name: Reported(end_ms, score, level_of(score), Reason.SPIKE) for name, score in scores.items()}
        return self.anomalies.settle(minute * 60_000, end_ms, reported, watched, self._limits, str)


def level_of(score: float) -> Severity:
    return Severity.CRITICAL if score >= 2.5 else Severity.WARN if score >= 2 else Severity.INFO


def test_calm_and_one_series_are_no_incident() -> None:
    host = Host()
    assert host.at(0) is None
    assert host.at(1, a=9.0) is None
    assert host.at(2) is None
    assert not host.anomalies.is_calm
    assert host.at(4) is None
    assert host.anomalies.is_calm


#  minute   0    1    2    3    4    5    6
#  a        1.6  .    .    .    2.1  .    .
#  b        .    1.7  .    .    .    .    .
#  c        .    .    .    1.8  .    .    .
#           .    began          grew      ended
def test_series_that_follow_each_other_are_one_incident_that_begins_grows_and_ends_once() -> None:
    host = Host()
    assert host.at(0, a=1.6) is None
    began = host.at(1, b=1.7)
    assert began is not None
    assert (began.change, began.begun_ms, began.level, began.score) == (
        IncidentChange.BEGAN,
        60_000,
        Severity.INFO,
        1.7,
    )
    assert (began.share, began.anomalous) == (2 / WATCHED, 2)
    assert [name for name, _ in began.most] == ["b", "a"]
    assert host.at(2) is None
    assert host.at(3, c=1.8) is None
    grew = host.at(4, a=2.1)
    assert grew is not None
    assert (grew.change, grew.begun_ms, grew.level) == (IncidentChange.GREW, 60_000, Severity.WARN)
    assert [(name, reported.score) for name, reported in grew.most] == [("a", 2.1), ("c", 1.8)]
    assert host.at(5) is None
    assert host.at(6) is None
    ended = host.at(7)
    assert ended == IncidentUpdate(IncidentChange.ENDED, 60_000, Severity.NORMAL, 0.0, 0.0, 0, ())
    assert host.anomalies.is_calm
    assert host.at(8) is None


def test_the_share_counts_beside_the_number() -> None:
    assert Host().at(0, a=2.0, b=2.0) is not None
    assert Host().at(0, watched=9, a=2.0, b=2.0) is None
    assert Host().at(0, watched=4, a=2.0) is None
    assert Host(HostLimits(0.0, 1)).at(0, watched=500, a=2.0) is not None


def test_a_series_keeps_its_greatest_score_while_it_is_reported_again() -> None:
    host = Host()
    host.at(0, a=3.0)
    began = host.at(2, a=1.6, b=1.6)
    assert began is not None
    assert began.level is Severity.CRITICAL
    assert dict(began.most)["a"] == Reported(180_000, 3.0, Severity.CRITICAL, Reason.SPIKE)


def test_of_equal_scores_the_name_decides_and_so_many_are_named() -> None:
    scores = {f"s{number:02d}": 2.0 for number in reversed(range(30))}
    update = Host().at(0, watched=30, **scores)
    assert update is not None
    assert [name for name, _ in update.most] == [f"s{number:02d}" for number in range(MOST_NAMED)]
    assert update.anomalous == 30


@pytest.mark.parametrize("watched", [0, 1])
def test_the_share_is_never_above_one(watched: int) -> None:
    update = Host().at(0, watched=watched, a=2.0, b=2.0)
    assert update is not None
    assert update.share == 1.0


def test_series_that_are_no_longer_watched_leave_the_incident() -> None:
    host = Host()
    host.at(0, a=2.0, b=2.0)
    host.anomalies.forget(["a", "b", "unknown"])
    ended = host.at(1)
    assert ended is not None
    assert ended.change is IncidentChange.ENDED

"""A partition's detection: what comes out follows from the windows in their order, and from nothing else."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from pipeline.core.anomalies.detectors import DEFAULT_DETECTOR, score_series
from pipeline.core.detection import state
from pipeline.core.detection.detector import PartitionDetector
from pipeline.core.detection.state import DetectionStateError, SeriesText
from pipeline.core.snapshots.snapshot import Snapshot, pieces_of
from schemas.reasons import NotScored
from tests.support.core.detecting import (
    MINUTE_MS,
    START_MS,
    anomalies,
    detector_of,
    noise,
    rules_of,
    scored,
    stream,
    window,
)
from tests.support.core.saved_snapshots import saved_snapshot

HOUR_MS = 3_600_000
RIVER = {"id": "river", "where": {"field": "usage_steal"}, "detector": "HalfSpaceTrees", "parameters": {"n_trees": 3}}


def test_a_spike_is_reported_with_what_was_expected() -> None:
    usage = noise(1, 1000)
    usage[900] = 95.0
    records = anomalies(scored(detector_of(), [window(i, {"usage_active": float(x)}) for i, x in enumerate(usage)]))
    (reported,) = [record for record in records if record.kind == "anomaly" and record.level != "info"]
    assert (reported.measurement, reported.field, reported.function, reported.tags) == (
        "cpu",
        "usage_active",
        "avg",
        {"host": "a"},
    )
    assert (reported.start_ms, reported.end_ms) == (START_MS + 900 * MINUTE_MS, START_MS + 901 * MINUTE_MS)
    assert (reported.value, reported.reason, reported.text, reported.partition, reported.offset) == (
        95.0,
        "SPIKE",
        "spike",
        0,
        900,
    )
    assert reported.expected_low is not None
    assert reported.expected_high is not None
    assert 30 < reported.expected_low < reported.expected_high < 60


def test_the_scores_are_those_of_the_bank() -> None:
    usage = noise(2, 800)
    usage[500:] += 20
    records = anomalies(
        scored(
            detector_of(sample_interval_ms=MINUTE_MS),
            [window(i, {"usage_active": float(x)}) for i, x in enumerate(usage)],
        )
    )
    scores = score_series(DEFAULT_DETECTOR, START_MS + MINUTE_MS * np.arange(800), usage)
    # the first window has no sample of its score: none was before it
    assert [record.score for record in records if record.kind != "host"] == scores.score[1:].tolist()
    assert sum(record.kind == "anomaly" for record in records) == (scores.level > 0).sum() > 0


def test_a_counter_is_scored_by_its_rate_and_a_rule_chooses_another_function() -> None:
    detector = detector_of(rules_of({"id": "a", "where": {"field": "usage_active"}, "function": "max"}))
    scored(
        detector,
        [
            window(0, {"err_in": 5}, measurement="net"),
            window(1, {"err_in": 5}, measurement="net", function="rate"),
            window(0, {"usage_active": 1}),
        ],
    )
    functions = {series.field: series.watch.function for series in detector.table.series()}
    assert functions == {"err_in": "rate", "usage_active": "max"}
    assert detector.balance.unscored_samples == {NotScored.NO_VALUE: 1}
    assert detector.balance.unscored_windows == {NotScored.NO_VALUE: 1}
    assert detector.balance.scored_samples == 2


def test_a_window_that_is_not_later_than_the_newest_of_its_group_changes_nothing() -> None:
    usage = [window(i, {"usage_active": float(x)}) for i, x in enumerate(noise(3, 700))]
    disturbed = [
        value for i in range(700) for value in (usage[i], window(i, {"usage_active": 99}), usage[max(0, i - 3)])
    ]
    clean, other = detector_of(), detector_of()
    expected = [record.model_dump(exclude={"offset"}) for record in anomalies(scored(clean, usage))]
    found = [record.model_dump(exclude={"offset"}) for record in anomalies(scored(other, disturbed))]
    assert found == expected
    assert other.balance.unscored_windows == {NotScored.SUPERSEDED: 1400}


def test_every_record_and_watched_value_is_accounted_for() -> None:
    detector = detector_of()
    values = stream()
    scored(detector, values)
    balance = detector.balance
    assert balance.records == len(values)
    assert balance.records == balance.scored_windows + balance.unscored_windows.total()
    assert set(balance.unscored_windows) == {NotScored.NOT_WATCHED, NotScored.SUPERSEDED, NotScored.UNREADABLE}
    assert balance.scored_samples == detector.table.scorer.live(4).number[:, 0].sum() + sum(
        detector.table.scorer.live(12).number[4:, 0]
    )


def test_what_is_no_window_is_refused_with_its_bytes_and_the_rest_goes_on() -> None:
    bad = [
        b"",
        b"\xff",
        b"[]",
        b"1",
        b"{}",
        b'{"measurement":"cpu","tags":{"host":1},"start_ms":0}',
        b'{"measurement":"","tags":{},"start_ms":0}',
        window(0, {"usage_active": 1}).replace(b'"end_ms":', b'"end":'),
        window(0, {"usage_active": 1}).replace(b'"start_ms":', b'"start_ms":-'),
        window(0, {"usage_active": 1}).replace(b'"fields":{', b'"fields":[],"f":{'),
        window(0, {"usage_active": 1}).replace(b'"start_ms":', b'"start_ms":9999999'),
    ]
    detector = detector_of()
    out = detector.add(enumerate([*bad, window(0, {"usage_active": 1})]))
    assert [record.value for record in out.refused] == bad
    assert detector.balance.scored_windows == 1
    odd = [b'"x"', b"null", b"true", b"[]"]
    for number, text in enumerate(odd, 1):
        detector.add([(number, window(number, {"usage_active": 1}).replace(b'"avg":1', b'"avg":' + text))])
    assert detector.balance.unscored_samples == {NotScored.NO_VALUE: len(odd)}
    assert detector.balance.scored_windows == 1


def test_a_record_whose_keys_come_in_another_order_is_of_the_same_series() -> None:
    detector = detector_of()
    first = window(0, {"usage_active": 1}, region="r")
    later = window(1, {"usage_active": 2}, region="r")
    turned = b'{"tags":{"region":"r","host":"a"},"measurement":"cpu",' + later[later.index(b'"start_ms"') :]
    scored(detector, [first, turned])
    assert detector.balance.scored_windows == 2
    assert detector.table.series_count == 1


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_how_records_are_cut_into_batches_makes_no_difference(batch: int) -> None:
    rules = rules_of(RIVER)
    options = {"sample_interval_ms": 30 * MINUTE_MS, "expire_after_ms": 100 * MINUTE_MS}
    expected = scored(detector_of(rules, **options), stream())
    assert scored(detector_of(rules, **options), stream(), batch=batch) == expected
    kinds = {record.kind for record in anomalies(expected)}
    assert kinds == {"anomaly", "sample", "host"}


def test_a_snapshot_of_earlier_code_with_an_incident_in_it_goes_on_as_if_nothing_had_been() -> None:
    values = list(enumerate(stream()))
    saved = saved_snapshot("detection-2")
    whole = detector_of()
    whole.add(values[: saved.offset])
    again = state.restore(saved, 0, rules_of(), whole.settings, ZoneInfo)
    assert any(host.anomalies.begun_ms is not None for host in again.table.hosts.values())
    expected = whole.add(values[saved.offset :]).values
    assert again.add(values[saved.offset :]).values == expected
    assert {record.kind for record in anomalies(expected)} == {"anomaly", "sample", "host"}


@pytest.mark.parametrize("at", [1, 1500, 4000, 6412])
def test_a_restart_from_a_snapshot_makes_no_difference(at: int) -> None:
    rules = rules_of(RIVER)
    options = {"sample_interval_ms": 30 * MINUTE_MS, "expire_after_ms": 100 * MINUTE_MS}
    values = list(enumerate(stream()))
    whole = detector_of(rules, **options)
    expected = whole.add(values).values
    first = detector_of(rules, **options)
    series = SeriesText()
    before = first.add(values[: at // 2]).values
    state.snapshot(first, at // 2, series)
    before += first.add(values[at // 2 : at]).values
    snapshot = stored(state.snapshot(first, at, series))
    first.add(values[at:])  # the snapshot must be a copy of its own
    again = state.restore(snapshot, 0, rules, first.settings, ZoneInfo)
    assert before + again.add(values[at:]).values == expected
    assert [bytes(piece.data) for piece in pieces_of(state.snapshot(again, 9))] == [
        bytes(piece.data) for piece in pieces_of(state.snapshot(whole, 9))
    ]


def stored(snapshot: Snapshot) -> Snapshot:
    return Snapshot(
        snapshot.offset, dict(snapshot.records), {name: array.copy() for name, array in snapshot.arrays.items()}
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda s: Snapshot(0, {}, s.arrays),
        lambda s: Snapshot(0, {"state": b"{}"}, s.arrays),
        lambda s: Snapshot(0, s.records, {**s.arrays, "bank.number": s.arrays["bank.number"][:, :-1]}),
        lambda s: Snapshot(0, s.records, {**s.arrays, "times": s.arrays["times"][1:]}),
        lambda s: Snapshot(0, s.records, {**s.arrays, "groups": s.arrays["groups"][1:]}),
    ],
)
def test_what_is_no_state_is_an_error(damage: Callable[[Snapshot], Snapshot]) -> None:
    detector = detector_of()
    scored(detector, stream(20))
    with pytest.raises(DetectionStateError, match="not the state of a partition's detection"):
        state.restore(damage(state.snapshot(detector, 1)), 0, rules_of(), detector.settings, ZoneInfo)


def test_silent_series_expire_by_event_time_and_their_rows_are_used_again() -> None:
    detector = detector_of(expire_after_ms=HOUR_MS)
    scored(detector, [window(i, {"usage_active": 1.0}, host=host) for i in range(30) for host in ("a", "b")])
    scored(detector, [window(i, {"usage_active": 1.0}, host="a") for i in range(30, 88)])
    assert detector.table.series_count == 2
    scored(detector, [window(i, {"usage_active": 1.0}, host="a") for i in range(88, 105)])
    assert (detector.table.series_count, detector.table.ended) == (1, 1)
    assert sorted(detector.table.hosts) == [b"a"]
    scored(detector, [window(105, {"usage_active": 1.0}, host="c")])
    assert (detector.table.series_count, detector.table.used) == (2, 2)
    assert detector.table.scorer.live(2).number[:, 0].tolist() == [105.0, 1.0]


def test_a_series_that_comes_back_after_its_expiry_begins_anew() -> None:
    detector = detector_of(expire_after_ms=HOUR_MS)
    scored(detector, [window(i, {"usage_active": 1.0}) for i in (*range(30), *range(600, 610))])
    assert (detector.table.started, detector.table.ended, detector.table.series_count) == (2, 1, 1)
    assert detector.table.scorer.live(1).number[0, 0] == 10


def test_changed_rules_begin_what_they_judge_otherwise_anew_and_leave_the_rest() -> None:
    def counts(detector: PartitionDetector) -> dict[str, float]:
        return {s.field: detector.table.scorer.live(9).number[s.row, 0] for s in detector.table.series()}

    detector = detector_of()
    windows = [window(i, {"usage_active": 5.0, "usage_steal": 1.0, "usage_user": 3.0}) for i in range(30)]
    detector.add(enumerate(windows[:10]))
    assert counts(detector) == {"usage_active": 10, "usage_steal": 10}
    other = rules_of(
        {"id": "a", "where": {"field": "usage_steal"}, "detector": "none"},
        {"id": "b", "where": {"field": "usage_user"}},
        {"id": "c", "where": {"field": "usage_active"}, "levels": {"info": 3, "warn": 4, "critical": 5}},
    )
    detector.follow(other)
    detector.add(enumerate(windows[10:20]))
    assert counts(detector) == {"usage_active": 20, "usage_user": 10}
    again = state.restore(state.snapshot(detector, 1), 0, rules_of(), detector.settings, ZoneInfo)
    again.add(enumerate(windows[20:]))
    assert counts(again) == {"usage_active": 30, "usage_steal": 10}
    assert [series.watch.levels for series in again.table.series()] == [(1.5, 2.0, 2.5)] * 2


def test_a_measurement_of_which_nothing_is_scored_is_scored_once_a_rule_asks_for_it() -> None:
    detector = detector_of()
    detector.add([(0, window(0, {"depth": 1}, measurement="queue"))])
    assert detector.balance.unscored_windows == {NotScored.NOT_WATCHED: 1}
    detector.follow(rules_of({"id": "a", "where": {"measurement": "queue"}}))
    detector.add([(1, window(1, {"depth": 1}, measurement="queue"))])
    assert detector.balance.scored_samples == 1


def test_levels_of_a_rule_make_it_quieter() -> None:
    def levels(**levels: float) -> list[str | None]:
        usage = noise(4, 1200)
        usage[[800, 1000]] += (12, 60)
        rules = rules_of({"id": "a", "where": {"field": "usage_active"}, "levels": levels})
        values = [window(i, {"usage_active": float(x)}) for i, x in enumerate(usage)]
        records = anomalies(scored(detector_of(rules), values))
        assert all(record.level for record in records if record.kind == "anomaly")
        return [record.level for record in records if record.kind == "anomaly" and record.offset >= 800]

    usual = levels()
    assert {"critical"} <= set(usual)
    assert "critical" not in levels(critical=99)
    assert levels(info=99, warn=99, critical=99) == []


def test_a_young_series_is_reported_at_most_info_whatever_its_levels() -> None:
    usage = noise(5, 620)
    usage[[400, 610]] += 60
    rules = rules_of({"id": "a", "where": {"field": "usage_active"}, "levels": {"critical": 2.0}})
    values = [window(i, {"usage_active": float(x)}) for i, x in enumerate(usage)]
    records = {record.offset: record for record in anomalies(scored(detector_of(rules), values))}
    assert records[400].level == "info"
    assert records[400].score >= 2
    assert records[610].level == "critical"


def test_detectors_of_river_are_bounded() -> None:
    rules = rules_of({"id": "a", "where": {"measurement": "cpu"}, "detector": "GaussianScorer"})
    detector = detector_of(rules, most_named=2)
    scored(detector, [window(i, {"usage_active": 1.0 + i % 3}, host=host) for i in range(5) for host in "abc"])
    assert detector.balance.scored_samples == 10
    assert detector.balance.unscored_samples == {NotScored.TOO_MANY: 5}
    assert detector.balance.unscored_windows == {NotScored.TOO_MANY: 5}
    assert detector.table.series_count == 2


def test_a_resource_s_series_that_are_reported_together_are_one_incident() -> None:
    records = anomalies(scored(detector_of(), stream()))
    of_b = [record for record in records if record.kind == "host" and record.tags == {"host": "b"}]
    began, ended = [record for record in of_b if record.incident_start_ms == START_MS + 700 * MINUTE_MS]
    assert (began.state, ended.state, ended.level, ended.series) == ("began", "ended", None, ())
    assert began.start_ms == START_MS + 700 * MINUTE_MS
    assert ended.start_ms == began.end_ms + 900_000
    assert (began.rate, began.series_count) == (1.0, 4)
    assert began.series is not None
    assert len(began.series) == 4
    scores = [series.score for series in began.series]
    assert scores == sorted(scores, reverse=True)
    assert began.level in {"warn", "critical"}
    assert began.reason == "MANY_SERIES"
    assert began.text is not None
    assert began.text.startswith("4 of 4 series are anomalous together: ")

"""When windows close, what is late, and who moves whose time. Seconds on the drawings, windows of 10 s, grace 0."""

import pytest

from pipeline.core.records.telegraf.parsed import TimestampUnit
from pipeline.core.records.telegraf.parser import ParseOptions
from schemas.reasons import DeadLetterReason
from tests.support.core.aggregating import BASE_MS, NOW_MS, Partition, field_of, line, only, rule, rules_of, windows

# --- closing ---------------------------------------------------------------------------------------------------------


def test_a_window_closes_when_its_resource_reaches_its_end() -> None:
    # a  1----9.999|10        [0,10) closes at 10, not before
    partition = Partition(rules_of())
    assert partition.feed(line("a", 1), line("a", 9.999)) == []
    record = only(partition.feed(line("a", 10)))
    assert (record["start_ms"], record["end_ms"]) == (BASE_MS, BASE_MS + 10_000)
    assert field_of(record)["count"] == 2


def test_grace_delays_closing() -> None:
    partition = Partition(rules_of(grace_s=2))
    assert partition.feed(line("a", 1), line("a", 10), line("a", 11.999)) == []
    assert windows(partition.feed(line("a", 12))) == [("a", 0)]


def test_closing_is_per_partition() -> None:
    # Quix Streams' example, in milliseconds: A@100, B@101, C@105, B@10100 → [0,10 s) closes for all three.
    # a  .1                                       |        8 → late: a correction
    # b  .101                                     | 10.1
    # c  .105                                     |
    partition = Partition(rules_of(idle_close_s=0))
    closed = partition.feed(line("a", 0.1), line("b", 0.101), line("c", 0.105), line("b", 10.1))
    assert sorted(windows(closed)) == [("a", 0), ("b", 0), ("c", 0)]
    correction = only(partition.feed(line("a", 8, "v=5")))
    assert (windows([correction]), correction["revision"]) == ([("a", 0)], 4)
    assert field_of(correction)["count"] == 2
    assert field_of(correction)["last"] == 5.0


def test_every_partition_reports_its_windows() -> None:
    for host in ("a", "b", "c"):
        partition = Partition(rules_of())
        assert windows(partition.feed(line(host, 1), line(host, 11))) == [(host, 0)]


def test_windows_before_1970_are_aligned_downwards() -> None:
    partition = Partition(rules_of(), options=ParseOptions(influx_unit=TimestampUnit.NS))
    partition.feed(b"m,host=a v=1 -9999999999", b"m,host=a v=2 -1")
    record = only(partition.finish())
    assert (record["start_ms"], record["end_ms"], field_of(record)["count"]) == (-10_000, 0, 2)


def test_an_event_time_is_floored_to_the_millisecond() -> None:
    partition = Partition(rules_of())
    end_ns = (BASE_MS + 10_000) * 1_000_000
    assert partition.feed(line("a", 1), b"m,host=a v=2 %d" % (end_ns - 1)) == []
    assert windows(partition.feed(b"m,host=a v=3 %d" % end_ns)) == [("a", 0)]


def test_all_lines_of_a_record_are_folded_before_it_moves_the_time() -> None:
    # a  [ 25, 1, 12 ] in one record: nothing of it is late, whatever the order of its lines
    partition = Partition(rules_of())
    closed = partition.feed(b"\n".join([line("a", 25), line("a", 1), line("a", 12)]))
    assert windows(closed) == [("a", 0), ("a", 10)]
    assert partition.aggregator.balance.late == 0


def test_a_rule_of_its_own_gives_a_measurement_another_cycle() -> None:
    partition = Partition(rules_of(slow=rule(30, 0, 30)))
    closed = partition.feed(line("a", 1), line("a", 1, measurement="slow"), line("a", 31))
    assert sorted((r["measurement"], r["end_ms"] - r["start_ms"]) for r in closed) == [("m", 10_000), ("slow", 30_000)]


def test_finish_closes_everything() -> None:
    partition = Partition(rules_of())
    partition.feed(line("a", 1), line("b", 2), line("b", 12))
    assert sorted(windows(partition.finish())) == [("a", 0), ("b", 10)]
    assert partition.finish() == []


def test_no_input_gives_nothing() -> None:
    partition = Partition(rules_of())
    assert partition.feed() == []
    assert partition.rest(NOW_MS) == []
    assert partition.finish() == []


# --- whose sample it is ----------------------------------------------------------------------------------------------


def test_two_vms_never_share_a_point() -> None:
    partition = Partition(rules_of())
    partition.feed(line("a", 1, "v=1") + b"\n" + line("b", 1, "v=2"), line("b", 2, "v=4"), line("a", 2, "v=3"))
    sums = {record["tags"]["host"]: field_of(record)["sum"] for record in partition.finish()}
    assert sums == {"a": 4.0, "b": 6.0}


def test_two_disks_are_two_series_of_one_resource() -> None:
    partition = Partition(rules_of())
    closed = partition.feed(line("a", 1, device="sda"), line("a", 2, device="sdb"), line("a", 11, device="sda"))
    assert sorted(record["tags"]["device"] for record in closed) == ["sda", "sdb"]  # one event time closes both


def test_three_generations_of_tags_are_one_series() -> None:
    stamp = b" v=1 %d" % (BASE_MS * 1_000_000)
    partition = Partition(rules_of())
    partition.feed(
        b"m,nsId=n,mcisId=i,vmId=x" + stamp,
        b"m,vm_id=x,ns_id=n,mci_id=i" + stamp,
        b"m,infra_id=i,node_id=x,ns_id=n" + stamp,
        b'{"fields":{"v":1},"name":"m","tags":{"mck8sId":"i","nsId":"n","vmId":"x"},"timestamp":%d}'
        % (BASE_MS // 1000),
    )
    record = only(partition.finish())
    assert list(record["tags"].items()) == [("infra_id", "i"), ("node_id", "x"), ("ns_id", "n")]
    assert field_of(record)["count"] == 4
    assert partition.last_output.keys == [b"n/i/x"]


# --- late and too late -----------------------------------------------------------------------------------------------


def test_a_late_sample_corrects_its_window_and_emits_it_whole() -> None:
    # a  1        |11   ...9 ←late            correction 10 s: [0,10) is kept while the watermark is below 20
    partition = Partition(rules_of())
    first = only(partition.feed(line("a", 1, "v=1"), line("a", 11)))
    second = only(partition.feed(line("a", 9, "v=3")))
    assert (field_of(first)["sum"], first["revision"]) == (1.0, 0)
    assert (field_of(second)["sum"], field_of(second)["count"], second["revision"]) == (4.0, 2, 2)
    balance = partition.aggregator.balance
    assert (balance.late, balance.corrections, balance.windows_emitted) == (1, 1, 1)


def test_a_late_sample_without_a_window_opens_and_emits_one() -> None:
    partition = Partition(rules_of())
    assert partition.feed(line("a", 11)) == []
    assert windows(partition.feed(line("a", 9))) == [("a", 0)]


def test_a_record_with_several_late_lines_emits_a_window_once() -> None:
    partition = Partition(rules_of())
    partition.feed(line("a", 1), line("a", 11))
    correction = only(partition.feed(line("a", 2) + b"\n" + line("a", 3)))
    assert field_of(correction)["count"] == 3


@pytest.mark.parametrize(("newest_s", "emitted"), [(19.999, 1), (20, 0)])
def test_beyond_the_correction_time_a_sample_is_too_late(newest_s: float, emitted: int) -> None:
    partition = Partition(rules_of())
    partition.feed(line("a", 1), line("a", newest_s))
    assert len(partition.feed(line("a", 9))) == emitted
    assert partition.aggregator.balance.too_late == 1 - emitted


def test_a_sample_that_is_too_late_is_refused_with_its_bytes_where_the_setting_says_so() -> None:
    partition = Partition(rules_of(), dead_letter_late=True)
    partition.feed(line("a", 1), line("a", 30), line("a", 9))
    (refused,) = partition.last_output.refused
    assert (refused.offset, refused.value) == (2, line("a", 9))
    assert refused.refusal.reason == DeadLetterReason.TOO_LATE


def test_a_timestamp_beyond_the_clock_moves_no_time() -> None:
    partition = Partition(rules_of(), options=ParseOptions(future_limit_ms=60_000))
    assert partition.feed(line("a", 1), line("a", 100), now_ms=BASE_MS + 30_000) == []
    (refused,) = partition.last_output.refused
    assert refused.refusal.reason == DeadLetterReason.TIMESTAMP_FUTURE


# --- quiet resources -------------------------------------------------------------------------------------------------


def test_a_quiet_resource_is_closed_by_its_partitions_time() -> None:
    # a  1                                        silent; idle_close 15 s
    # b  1         |11       16 → P moved 15 s on since a was heard: a's [0,10) closes
    # d  1         |11       16
    partition = Partition(rules_of(idle_close_s=15))
    partition.feed(line("b", 1), line("d", 1), line("a", 1), line("b", 11), line("d", 15.999))
    assert windows(partition.feed(line("b", 16))) == [("a", 0)]


def test_a_sample_for_a_window_that_idled_out_is_a_correction() -> None:
    partition = Partition(rules_of())
    partition.feed(line("b", 1), line("d", 1), line("a", 1), line("b", 12), line("d", 12))
    correction = only(partition.feed(line("a", 5)))
    assert (windows([correction]), field_of(correction)["count"]) == ([("a", 0)], 2)


def test_a_quiet_resource_is_closed_by_the_clock_while_nothing_comes() -> None:
    partition = Partition(rules_of(grace_s=2))
    partition.feed(line("a", 1), now_ms=BASE_MS + 1_500)
    assert partition.rest(BASE_MS + 11_499) == []  # not silent for 10 s
    assert partition.rest(BASE_MS + 11_999) == []  # the grace is not over
    assert windows(partition.rest(BASE_MS + 12_000)) == [("a", 0)]
    assert partition.rest(BASE_MS + 12_000) == []


def test_one_resource_alone_has_no_partition_time() -> None:
    partition = Partition(rules_of(idle_close_s=0))
    partition.feed(line("a", 1), line("a", 100))
    assert partition.aggregator.partition_time_ms is None
    partition.feed(line("b", 99))
    assert partition.aggregator.partition_time_ms == BASE_MS + 100_000


def test_a_forgotten_resource_takes_nothing_for_its_old_windows() -> None:
    # forget = idle_close 10 + correction 1000 + 2 cycles = 1030 s
    # a  1                                                   5 → too late though correction lasts 1000 s
    # b  1                                            1040
    # d  1                                            1040
    rules = rules_of(allowed_lateness_s=1000)
    assert rules.lateness.forget_ms == 1_030_000
    partition = Partition(rules)
    partition.feed(line("b", 1), line("d", 1), line("a", 1))
    partition.feed(line("b", 1040), line("d", 1040))
    assert partition.feed(line("a", 5)) == []
    assert partition.aggregator.balance.too_late == 1
    assert windows(partition.feed(line("a", 1045), line("a", 1051))) == [("a", 1040)]


def test_a_quiet_window_is_emitted_with_its_bridge_even_if_the_resource_is_forgotten_at_once() -> None:
    # a  c=1 |c=9                 forget = 10 + 10 + 20 = 40 s; the partition jumps by 100 s in one step
    # b  0                                          100
    # d                                             100
    partition = Partition(rules_of())
    partition.feed(line("a", 0, "c=1"), line("a", 10, "c=9"), line("b", 0))
    closed = partition.feed(line("b", 100), line("d", 100))
    (window,) = [record for record in closed if windows([record]) == [("a", 10)]]
    assert field_of(window, "c")["increase"] == 8.0


# --- wild clocks and backlogs ----------------------------------------------------------------------------------------


def test_one_agent_a_day_ahead_leaves_the_others_windows_as_they_were() -> None:
    def run(*, with_wild: bool) -> list[object]:
        partition = Partition(rules_of(idle_close_s=15))
        emitted = []
        for second in range(0, 120, 2):
            batch = [line(host, second, f"v={second}") for host in ("a", "b", "d")]
            if with_wild:
                batch.append(line("wild", 86_400 + second))
            emitted += partition.feed(*batch)
        return [(windows([record]), record["fields"]) for record in emitted if record["tags"]["host"] != "wild"]

    assert run(with_wild=True) == run(with_wild=False)
    assert len(run(with_wild=True)) == 33


def test_a_wild_clock_that_comes_back_is_too_late_alone() -> None:
    partition = Partition(rules_of())
    partition.feed(line("a", 1), line("b", 1), line("wild", 86_400), line("wild", 2))
    assert partition.aggregator.balance.too_late == 1
    assert windows(partition.feed(line("a", 11), line("b", 11))) == [("a", 0), ("b", 0)]


def test_a_backlog_of_an_hour_comes_out_whole_and_delays_nobody() -> None:
    # cut  0 5 10 15 20 /…………………………………………………………/   then 25 … 3600 at once, five seconds apart
    # h0…h19  0 5 10 15 …                         3600   go on meanwhile
    step_s, cut_at_s, back_at_s = 5, 25, 3600
    others = [f"h{number}" for number in range(20)]
    partition = Partition(rules_of(every_s=60, grace_s=10, allowed_lateness_s=60))
    emitted = []
    for second in range(0, back_at_s, step_s):
        hosts = [*others, "cut"] if second < cut_at_s else others
        emitted += partition.feed(*(line(host, second, f"v={second}") for host in hosts))
    of_the_others = len([1 for host, _ in windows(emitted) if host != "cut"])
    emitted += partition.feed(*(line("cut", second, f"v={second}") for second in range(cut_at_s, back_at_s, step_s)))
    emitted += partition.finish()

    assert of_the_others == 20 * 59  # [3480, 3540) is the last that its own time closed before the backlog
    latest = {start: record for record in emitted for host, start in windows([record]) if host == "cut"}
    assert sorted(latest) == list(range(0, back_at_s, 60))
    assert {start: field_of(record)["count"] for start, record in latest.items() if start > 0} == dict.fromkeys(
        range(60, back_at_s, 60), 12
    )
    # the one window that idled out and was forgotten in that hour lacks what came after it
    assert field_of(latest[0])["count"] == 5
    balance = partition.aggregator.balance
    assert (balance.too_late, balance.late) == (7, 0)


def test_a_backlog_in_one_record_comes_out_whole() -> None:
    # a relay's batch: six windows in one record, in order of time, after one that is open already
    partition = Partition(rules_of())
    partition.feed(line("a", 0, "v=0"))
    emitted = partition.feed(b"\n".join(line("a", second, f"v={second}") for second in range(1, 65)))
    emitted += partition.finish()
    counts = [(start, field_of(record)["count"]) for record in emitted for _, start in windows([record])]
    assert sorted(counts) == [
        (0, 10),
        (10, 10),
        (20, 10),
        (30, 10),
        (40, 10),
        (50, 10),
        (60, 5),
    ]


def test_lines_of_one_record_may_jump_back_by_many_windows() -> None:
    # a  [0, 41, 1] in one record: the watermark that counts is the one before the record
    partition = Partition(rules_of())
    emitted = partition.feed(b"\n".join([line("a", 0), line("a", 41), line("a", 1)]))
    assert [(start, field_of(record)["count"]) for record in emitted for _, start in windows([record])] == [(0, 2)]
    assert partition.aggregator.balance.too_late == 0


def test_a_record_over_many_windows_loses_none_that_is_open() -> None:
    # a  11 | 141 | [155, 45]      45 is too late; [140,150) is open and must come out, whatever is kept beside it
    partition = Partition(rules_of())
    partition.feed(line("a", 11), line("a", 141))
    assert windows(partition.feed(line("a", 155) + b"\n" + line("a", 45))) == [("a", 140)]


@pytest.mark.parametrize("width_s", range(10, 400, 10))
def test_windows_stay_apart_whatever_a_record_spans(width_s: int) -> None:
    partition = Partition(rules_of())
    emitted = []
    for second in range(0, 400, 10):
        emitted += partition.feed(line("a", second, "v=1"), line("a", second + 5, "v=2"))
    emitted += partition.feed(line("a", 400, "v=1") + b"\n" + line("a", 400 - width_s, "v=2"))
    emitted += partition.feed(line("a", 410)) + partition.finish()
    latest = {start: field_of(record)["count"] for record in emitted for _, start in windows([record])}
    want = {**dict.fromkeys(range(0, 400, 10), 2), 400: 1, 410: 1}
    if width_s <= 20:  # beyond that it is too late
        want[400 - width_s] = 3
    assert latest == want


def test_a_record_moves_the_partitions_time_once() -> None:
    # a  0            lead_ms = 10 s. The record [b@6, b@12] counts as 12: more than 10 s ahead of a, so P = 0.
    # b    [6, 12]    Line by line P would become 6.
    partition = Partition(rules_of())
    partition.feed(line("a", 0), line("b", 6) + b"\n" + line("b", 12))
    assert partition.aggregator.partition_time_ms == BASE_MS


# --- lines without samples -------------------------------------------------------------------------------------------


def test_a_line_without_a_sample_makes_no_window() -> None:
    partition = Partition(rules_of())
    partition.feed(line("a", 1, 's="text"'), line("a", 2, "v=1e400"))
    assert partition.finish() == []
    filtered = partition.aggregator.balance.filtered
    assert {reason: count for reason, count in filtered.items() if count} == {"string": 1, "not_finite": 1}


def test_a_line_without_a_sample_moves_its_resources_time() -> None:
    partition = Partition(rules_of())
    assert windows(partition.feed(line("a", 1), line("a", 11, 's="text"'))) == [("a", 0)]


def test_a_late_line_without_a_sample_corrects_nothing() -> None:
    partition = Partition(rules_of())
    partition.feed(line("a", 1), line("a", 11))
    assert partition.feed(line("a", 2, 's="text"')) == []

"""What a window's record says: functions of each field, growth of counters, revision, offsets, lag."""

import math

import pytest

from schemas.records import AggregatedWindow
from tests.support.core.aggregating import BASE_MS, Partition, field_of, line, only, rules_of, windows


def test_a_record_has_this_text() -> None:
    partition = Partition(rules_of())
    partition.feed(
        line("a", 1, "v=2,c=10i", device="sda"),
        line("a", 3, "v=0.5,c=14i", device="sda"),
        timestamps_ms=[BASE_MS + 1_250, BASE_MS + 3_000],
    )
    partition.finish()
    (value,) = partition.last_output.values
    assert value == (
        b'{"schema_version":1,"measurement":"m","tags":{"device":"sda","host":"a"},'
        b'"start_ms":1699999980000,"end_ms":1699999990000,'
        b'"revision":1,"fields":{"v":{"min":0.5,"max":2.0,"avg":1.25,"last":0.5,"first":2.0,"sum":2.5,"count":2},'
        b'"c":{"min":10.0,"max":14.0,"avg":12.0,"last":14.0,"first":10.0,"sum":24.0,"count":2,'
        b'"increase":4.0,"rate":2.0}},"partition":7,"first_offset":0,"last_offset":1,"lag_ms":250}'
    )
    AggregatedWindow.model_validate_json(value)


def test_last_and_first_go_by_event_time() -> None:
    partition = Partition(rules_of())
    partition.feed(line("a", 5, "v=5"), line("a", 1, "v=1"), line("a", 9, "v=9"), line("a", 3, "v=3"))
    values = field_of(only(partition.finish()))
    assert (values["first"], values["last"]) == (1.0, 9.0)


def test_at_equal_time_the_later_offset_is_first_and_last() -> None:
    partition = Partition(rules_of())
    partition.feed(line("a", 5, "v=1"), line("a", 5, "v=2"), line("a", 5, "v=3") + b"\n" + line("a", 5, "v=4"))
    values = field_of(only(partition.finish()))
    assert (values["first"], values["last"], values["count"]) == (4.0, 4.0, 4)


def test_fields_of_one_time_in_several_records_meet_in_one_window() -> None:
    partition = Partition(rules_of())
    partition.feed(line("a", 1, "usage_user=1"), line("a", 1, "time_user=2"))
    assert list(only(partition.finish())["fields"]) == ["usage_user", "time_user"]


def test_the_sum_is_added_in_the_order_of_the_input() -> None:
    partition = Partition(rules_of())
    values = [1e16, 1.0, 1.0, -1e16]
    partition.feed(*(line("a", 5 - index, f"v={value!r}") for index, value in enumerate(values)))
    assert field_of(only(partition.finish()))["sum"] == ((1e16 + 1.0) + 1.0) - 1e16


def test_avg_from_sum_and_count_after_two_steps_is_that_of_the_samples() -> None:
    # 10 s → 60 s → 300 s, as Thanos does it; whole numbers, so that sums are exact
    samples = [(second, (second * 7919) % 1000) for second in range(0, 300, 2) if second % 14]
    partition = Partition(rules_of())
    emitted = partition.feed(*(line("a", second, f"v={value}") for second, value in samples)) + partition.finish()
    steps = [
        (start, field_of(record)["sum"], field_of(record)["count"])
        for record in emitted
        for _, start in windows([record])
    ]
    for width in (60, 300):
        merged: dict[float, tuple[float, float]] = {}
        for start, total, count in steps:
            known = merged.get(start // width * width, (0.0, 0))
            merged[start // width * width] = (known[0] + total, known[1] + count)
        steps = [(start, *pair) for start, pair in merged.items()]
    ((_, total, count),) = steps
    assert total / count == sum(value for _, value in samples) / len(samples)


def test_the_largest_sums_stay_numbers_of_json() -> None:
    partition = Partition(rules_of())
    partition.feed(line("a", 1, "v=1.7e308"), line("a", 2, "v=1.7e308"))
    record = only(partition.finish())
    assert field_of(record)["max"] == 1.7e308
    assert math.isfinite(field_of(record)["sum"])
    AggregatedWindow.model_validate_json(partition.last_output.values[0])


def test_lag_is_the_greatest_time_to_the_kafka_record_and_never_negative() -> None:
    partition = Partition(rules_of())
    partition.feed(line("a", 1), line("a", 2), line("b", 2), timestamps_ms=[BASE_MS + 4_000, -1, BASE_MS])
    assert {record["tags"]["host"]: record["lag_ms"] for record in partition.finish()} == {"a": 3_000, "b": 0}


# --- counters --------------------------------------------------------------------------------------------------------


def growth(record: dict[str, object]) -> tuple[float, float | None]:
    values = field_of(record, "c")
    return values["increase"], values.get("rate")


def test_a_gauge_has_no_increase() -> None:
    partition = Partition(rules_of())
    partition.feed(line("a", 1, "v=1"), line("a", 2, "v=2"))
    assert "increase" not in field_of(only(partition.finish()))


@pytest.mark.parametrize(
    ("counter", "increase"),
    [
        pytest.param([5, 8, 8, 10], 5, id="grows"),
        pytest.param([5, 8, 2, 3], 3 + 2 + 1, id="a reset adds the value itself"),
        pytest.param([5, 0, 0], 0, id="a reset to nothing adds nothing"),
        pytest.param([9, 4, 2], 4 + 2, id="two resets"),
    ],
)
def test_increase_is_the_sum_of_growth(counter: list[int], increase: int) -> None:
    partition = Partition(rules_of())
    partition.feed(*(line("a", second, f"c={value}i") for second, value in enumerate(counter)))
    assert growth(only(partition.finish())) == (increase, increase / (len(counter) - 1))


def test_samples_out_of_order_grow_in_order_of_time() -> None:
    partition = Partition(rules_of())
    partition.feed(*(line("a", second, f"c={value}") for second, value in [(4, 40), (1, 10), (3, 30), (2, 20)]))
    assert growth(only(partition.finish())) == (30.0, 10.0)


def test_of_two_counter_samples_at_one_time_the_later_one_counts() -> None:
    partition = Partition(rules_of())
    partition.feed(*(line("a", second, f"c={value}") for second, value in [(1, 1), (2, 100), (3, 5), (2, 3)]))
    assert growth(only(partition.finish())) == (4.0, 2.0)


def test_one_counter_sample_alone_has_no_rate() -> None:
    partition = Partition(rules_of())
    partition.feed(line("a", 1, "c=7"))
    assert growth(only(partition.finish())) == (0.0, None)


def test_increase_bridges_from_the_last_sample_of_the_window_before() -> None:
    # a  8 (10)  | 12 (14) 18 (20)        increase 20-10 over 18-8 seconds
    partition = Partition(rules_of())
    partition.feed(line("a", 8, "c=10"), line("a", 12, "c=14"), line("a", 18, "c=20"))
    assert growth(partition.finish()[-1]) == (10.0, 1.0)


def test_a_reset_over_the_bridge_adds_the_value_itself() -> None:
    partition = Partition(rules_of())
    partition.feed(line("a", 8, "c=10"), line("a", 12, "c=3"))
    assert growth(partition.finish()[-1]) == (3.0, 0.75)


def test_increase_does_not_bridge_over_a_gap() -> None:
    partition = Partition(rules_of())
    partition.feed(line("a", 8, "c=10"), line("a", 22, "c=14"), line("a", 24, "c=15"))
    assert growth(partition.finish()[-1]) == (1.0, 0.5)


def test_a_field_new_in_a_window_starts_at_its_own_first_sample() -> None:
    partition = Partition(rules_of())
    partition.feed(line("a", 8, "c=10"), line("a", 12, "c2=14"), line("a", 14, "c2=15"))
    values = field_of(partition.finish()[-1], "c2")
    assert (values["increase"], values["rate"]) == (1.0, 0.5)


@pytest.mark.parametrize("jump_to_s", range(20, 100, 10))
def test_the_bridge_does_not_depend_on_how_far_the_closing_record_jumps(jump_to_s: int) -> None:
    # a  1 (1) | 11 (5) | …   silence   … | jump      [10,20) is closed by the jump, its bridge is in [0,10)
    partition = Partition(rules_of())
    emitted = partition.feed(line("a", 1, "c=1"), line("a", 11, "c=5"), line("a", jump_to_s, "c=7"))
    assert growth(emitted[-1]) == (4.0, 0.4)


# --- revisions -------------------------------------------------------------------------------------------------------


def test_the_revision_is_the_newest_offset_in_the_window() -> None:
    partition = Partition(rules_of())
    partition.feed(line("b", 1), line("a", 9), line("a", 1), line("b", 2))
    revisions = {r["tags"]["host"]: (r["revision"], r["first_offset"], r["last_offset"]) for r in partition.finish()}
    assert revisions == {"a": (2, 1, 2), "b": (3, 0, 3)}


def test_a_correction_of_a_windows_last_counter_sample_emits_its_successor_again() -> None:
    # a  5 (10)   | 15 (30)   | 25      then late: 9 (20)
    partition = Partition(rules_of(allowed_lateness_s=100))
    partition.feed(line("a", 5, "c=10"), line("a", 15, "c=30"), line("a", 25, "c=40"))
    corrected = partition.feed(line("a", 9, "c=20"))
    assert [(start, record["revision"], *growth(record)) for record in corrected for _, start in windows([record])] == [
        (0, 3, 10.0, 2.5),
        (10, 3, 10.0, 10 / 6),
    ]
    assert corrected[1]["last_offset"] == 1


def test_a_correction_that_moves_no_last_sample_leaves_the_successor_alone() -> None:
    partition = Partition(rules_of(allowed_lateness_s=100))
    partition.feed(line("a", 5, "c=10"), line("a", 15, "c=30"), line("a", 25, "c=40"))
    assert windows(partition.feed(line("a", 4, "c=9"))) == [("a", 0)]
    assert windows(partition.feed(line("a", 9, "v=9"))) == [("a", 0)]


def test_an_open_successor_takes_the_revision_of_the_record_that_moved_its_bridge() -> None:
    # a  5 (10) | 15 (30)   then 9 (20) while both are open (grace 100 s)
    partition = Partition(rules_of(grace_s=100))
    partition.feed(line("a", 5, "c=10"), line("a", 15, "c=30"), line("a", 9, "c=20"))
    first, second = partition.finish()
    assert (first["revision"], second["revision"], second["last_offset"]) == (2, 2, 1)


def test_a_record_whose_bridge_was_moved_still_follows_the_schema() -> None:
    partition = Partition(rules_of(grace_s=100))
    partition.feed(line("a", 5, "c=10"), line("a", 15, "c=30"), line("a", 9, "c=20"))
    partition.finish()
    for value in partition.last_output.values:
        AggregatedWindow.model_validate_json(value)

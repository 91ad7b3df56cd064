"""The compiled core gives what the slow reference gives, record by record and bit for bit, on random logs."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.records.identity.interning import WindowRule
from pipeline.core.records.telegraf.parser import ParseOptions, batch_of
from pipeline.core.windows.aggregator import PartitionAggregator
from pipeline.core.windows.rules import WindowRules
from schemas.records import AggregatedWindow
from tests.support.core.random_logs import BASE_MS, FAR_AHEAD_MS, RULES, Log, is_counter, random_log, splits
from tests.support.core.reference_windows import Cycle, Record, ReferenceAggregator, Times, by_window

RECORDS = 500
OPTIONS = ParseOptions(future_limit_ms=FAR_AHEAD_MS - BASE_MS)
"""Random logs hold clocks that are days ahead; what bounds them is tested elsewhere."""


def reference_of(rules: WindowRules) -> ReferenceAggregator:
    times = Times(**rules.lateness._asdict())

    def cycle_of(measurement: str, tags: Mapping[str, str]) -> Cycle:
        return Cycle(*rules.rule_of(measurement, tags))

    return ReferenceAggregator(0, times, cycle_of, is_counter, future_limit_ms=OPTIONS.future_limit_ms)


def decoded(values: Sequence[bytes]) -> list[Record]:
    return [orjson.loads(value) for value in values]


def assert_same(got: Sequence[Record], want: Sequence[Record]) -> None:
    """Compare every record of every window, in the order of its revisions; say which differs first."""
    left, right = by_window(got), by_window(want)
    for window in sorted({*left, *right}, key=lambda window: (window[2], window)):
        assert left.get(window) == right.get(window), window


def assert_balanced(aggregator: PartitionAggregator, reference: ReferenceAggregator) -> None:
    balance, counts = aggregator.balance, reference.counts
    assert balance.parsed == balance.aggregated + balance.late + balance.too_late + balance.open_samples
    got = (balance.parsed, balance.aggregated, balance.late, balance.too_late, balance.open_samples)
    want = (*(counts[name] for name in ("parsed", "aggregated", "late", "too_late")), reference.open_samples)
    assert got == want
    assert sum(balance.filtered.values()) == counts["filtered"]
    assert balance.windows_emitted + balance.corrections == counts["emitted"]


def compare(log: Log, rules: WindowRules, cuts: Sequence[tuple[int, int]], *, rests: Callable[[], bool]) -> None:
    """Feed both the same batches, now and then with a pause in which the clock closes windows."""
    reference, aggregator = reference_of(rules), PartitionAggregator(0, rules, is_counter, OPTIONS)
    batch = batch_of(log.values, 0, log.timestamps_ms)
    got: list[Record] = []
    want: list[Record] = []
    refused = 0
    now_ms = BASE_MS
    for first, last in cuts:
        now_ms += 500 * (last - first)
        output = aggregator.add(batch, first, last, now_ms)
        refused += len(output.refused)
        got += decoded(output.values)
        want += reference.add(log.values[first:last], first, now_ms, log.timestamps_ms[first:last])
        assert_balanced(aggregator, reference)
        if rests():
            now_ms += 15_000
            got += decoded(aggregator.rest(now_ms).values)
            want += reference.rest(now_ms)
            assert_balanced(aggregator, reference)
    got += decoded(aggregator.finish().values)
    want += reference.finish()
    assert_balanced(aggregator, reference)
    assert_same(got, want)
    assert refused == reference.counts["refused"]


@pytest.mark.parametrize("seed", range(40))
def test_every_revision_of_a_random_log_is_that_of_the_reference(seed: int) -> None:
    r = random.Random(seed)
    log = random_log(seed, RECORDS)
    compare(log, RULES, list(splits(r, RECORDS, r.choice((1, 10, 100, RECORDS)))), rests=lambda: r.random() < 0.02)


@pytest.mark.parametrize("idle_close_ms", [0, 1_000, 60_000])
@pytest.mark.parametrize(
    "rule", [WindowRule(10_000, 0, 0), WindowRule(1_000, 30_000, 5_000), WindowRule(60_000, 10_000, 60_000)]
)
def test_other_rules_give_what_the_reference_gives(rule: WindowRule, idle_close_ms: int) -> None:
    rules = WindowRules(default=rule, idle_close_ms=idle_close_ms)
    for seed in range(100, 103):
        log = random_log(seed, RECORDS)
        compare(log, rules, list(splits(random.Random(seed), RECORDS, 50)), rests=lambda: False)


@pytest.mark.parametrize("seed", range(200, 206))
def test_results_do_not_depend_on_batches(seed: int) -> None:
    log = random_log(seed, RECORDS)
    batch = batch_of(log.values, 0, log.timestamps_ms)

    def emitted(longest: int) -> dict[Any, list[Record]]:
        aggregator = PartitionAggregator(0, RULES, is_counter, OPTIONS)
        records: list[Record] = []
        for first, last in splits(random.Random(longest), RECORDS, longest):
            records += decoded(aggregator.add(batch, first, last, FAR_AHEAD_MS).values)
        return by_window(records + decoded(aggregator.finish().values))

    whole = emitted(10**9)
    for longest in (1, 7, 60):
        assert emitted(longest) == whole


def slow_keys(values: Sequence[bytes]) -> list[bytes]:
    """Write every record so that the fast path refuses it, and its meaning stays the same."""
    slow = []
    for value in values:
        if value.startswith(b"{"):
            slow.append(b" " + value)
        else:
            slow.append(b"\n".join(line.replace(b" ", b"  ", 1) for line in value.split(b"\n")))
    return slow


@pytest.mark.parametrize("seed", range(300, 306))
def test_the_fast_path_gives_what_the_plain_path_gives(seed: int) -> None:
    log = random_log(seed, RECORDS)

    def run(values: list[bytes]) -> tuple[list[bytes], object]:
        aggregator = PartitionAggregator(0, RULES, is_counter, OPTIONS)
        output = aggregator.add(batch_of(values, 0, log.timestamps_ms), 0, RECORDS, FAR_AHEAD_MS)
        return output.values + aggregator.finish().values, aggregator.balance

    assert run(slow_keys(log.values)) == run(log.values)


@pytest.mark.parametrize("seed", range(400, 403))
def test_every_record_follows_its_schema(seed: int) -> None:
    log = random_log(seed, RECORDS)
    aggregator = PartitionAggregator(0, RULES, is_counter, OPTIONS)
    output = aggregator.add(batch_of(log.values, 0, log.timestamps_ms), 0, RECORDS, FAR_AHEAD_MS)
    for value in output.values + aggregator.finish().values:
        AggregatedWindow.model_validate_json(value)


# --- small logs, made to shrink --------------------------------------------------------------------------------------

FIELDS = st.sampled_from(
    ("v=1", "v=-2.5", "bytes_recv=10", "bytes_recv=25", "bytes_recv=3", "v=1,bytes_recv=7", 'v="s"', "v=1e999")
)
LINES = st.builds(
    lambda host, fields, at_ms: f"m,host={host} {fields} {(BASE_MS + at_ms) * 1_000_000}".encode(),
    st.sampled_from("abc"),
    FIELDS,
    st.one_of(st.integers(0, 120).map(lambda second: second * 1000), st.integers(-500_000, 500_000)),
)
VALUES = st.lists(st.lists(LINES, min_size=1, max_size=4).map(b"\n".join), min_size=1, max_size=25)


@settings(max_examples=400, deadline=None)
@given(VALUES, st.integers(1, 25), st.sampled_from((0, 10_000, 40_000)), st.sampled_from((0, 3_000, 25_000)))
def test_small_logs_give_what_the_reference_gives(
    values: list[bytes], batch_size: int, idle_close_ms: int, grace_ms: int
) -> None:
    rules = WindowRules(default=WindowRule(10_000, grace_ms, 10_000), idle_close_ms=idle_close_ms)
    cuts = [(first, min(first + batch_size, len(values))) for first in range(0, len(values), batch_size)]
    compare(Log(values, [-1] * len(values)), rules, cuts, rests=lambda: False)

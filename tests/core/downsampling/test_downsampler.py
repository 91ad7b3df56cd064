"""A partition's chunks depend on its log alone: not on batches, restarts, or how its owner's memory is laid out."""

import random
from collections.abc import Sequence
from itertools import pairwise

import orjson
import pytest

from pipeline.core.downsampling.downsampler import DownsamplingBalance, PartitionDownsampler, SilenceLimits
from pipeline.core.downsampling.series_downsampler import DownsamplingRules, MetricKind
from pipeline.core.records.telegraf.parser import RecordBatch, batch_of
from pipeline.core.snapshots.snapshot import Snapshot
from schemas.downsampled import DownsampledChunk
from schemas.reasons import FilterReason
from tests.support.core.random_logs import random_log
from tests.support.core.saved_snapshots import saved_snapshot

NOW_MS = 2_000_000_000_000
RULES = DownsamplingRules(
    chunk_ms=60_000, longest_chunk_ms=60_000, chunk_points=16, grace_ms=5_000, allowed_lateness_ms=20_000
)
HOUR_MS = 3_600_000


def kind_of(measurement: str, _field: str) -> MetricKind:
    return MetricKind.COUNTER if measurement == "net" else MetricKind.AUTO


def downsampler(snapshot: Snapshot | None = None, times: SilenceLimits | None = None) -> PartitionDownsampler:
    return PartitionDownsampler(3, RULES, kind_of, times=times, snapshot=snapshot)


def chunks(
    owner: PartitionDownsampler, batch: RecordBatch, edges: Sequence[int], now_ms: int = NOW_MS
) -> list[tuple[bytes, bytes]]:
    found = []
    for first, last in pairwise(edges):
        output = owner.add(batch, first, last, now_ms)
        found += zip(output.keys, output.values, strict=True)
    return found


def edges_of(r: random.Random, count: int) -> list[int]:
    return [0, *sorted(r.sample(range(1, count), 12)), count]


def assert_balanced(balance: DownsamplingBalance) -> None:
    overflow = balance.filtered[FilterReason.OVERFLOW]
    where = balance.encoded + balance.waiting + balance.late + balance.replaced + overflow
    assert balance.parsed == where


@pytest.mark.parametrize("seed", range(4))
def test_chunks_do_not_depend_on_batches_or_restarts(seed: int) -> None:
    r = random.Random(seed)
    log = random_log(seed, 1500)
    batch = batch_of(log.values, 0, log.timestamps_ms)
    count = len(log.values)
    whole = chunks(downsampler(), batch, [0, count])
    assert whole
    assert chunks(downsampler(), batch, edges_of(r, count)) == whole
    owner, restarted = downsampler(), []
    for first, last in pairwise(edges_of(r, count)):
        restarted += chunks(owner, batch, [first, last])
        assert_balanced(owner.balance)
        state = owner.snapshot(last)
        owner = downsampler(Snapshot(last, state.records, {name: a.copy() for name, a in state.arrays.items()}))
    assert restarted == whole


def test_a_snapshot_of_earlier_code_goes_on_as_if_nothing_had_been() -> None:
    log = random_log(5, 1500)
    batch = batch_of(log.values, 0, log.timestamps_ms)
    saved = saved_snapshot("downsampling-1")
    expected = chunks(downsampler(), batch, [0, saved.offset, len(log.values)])
    before = chunks(downsampler(), batch, [0, saved.offset])
    assert before + chunks(downsampler(saved), batch, [saved.offset, len(log.values)]) == expected
    assert len(expected) > len(before)


def test_records_are_those_of_the_contract_and_every_sample_is_in_one() -> None:
    log = random_log(9, 800)
    batch = batch_of(log.values, 0, log.timestamps_ms)
    owner = downsampler()
    output = owner.add(batch, 0, len(log.values), NOW_MS)
    rest = owner.finish()
    latest = {}
    for value in [*output.values, *rest.values]:
        record = DownsampledChunk.model_validate_json(value)
        assert record.partition == 3
        name = (record.measurement, record.field, orjson.dumps(record.tags), record.start_ms)
        assert name not in latest or latest[name].revision < record.revision
        latest[name] = record
    balance = owner.balance
    assert_balanced(balance)
    assert balance.waiting == 0
    assert sum(record.n_raw for record in latest.values()) == balance.encoded
    assert balance.revised == len(output.values) + len(rest.values) - len(latest)
    assert {record.kind for record in latest.values() if record.measurement == "net"} == {"counter"}


def lines(host: str, seconds: range) -> list[bytes]:
    return [b"cpu,host=%b v=%d %d000000000" % (host.encode(), second % 7, 1_000_000_000 + second) for second in seconds]


def test_a_silent_series_ends_by_the_clock_and_a_dead_one_is_forgotten() -> None:
    owner = downsampler(times=SilenceLimits(idle_close_ms=HOUR_MS, expire_after_ms=24 * HOUR_MS))
    batch = batch_of([*lines("a", range(10)), *lines("b", range(10))], 0)
    assert chunks(owner, batch, [0, 20], NOW_MS) == []
    assert owner.rest(NOW_MS + HOUR_MS).values == []
    ended = owner.rest(NOW_MS + HOUR_MS + 1)
    assert [orjson.loads(value)["n_raw"] for value in ended.values] == [10, 10]
    assert owner.rest(NOW_MS + HOUR_MS + 2).values == []
    later = batch_of(lines("b", range(10_000, 10_010)), 20)
    assert chunks(owner, later, [0, 10], NOW_MS + 20 * HOUR_MS) == []
    last = owner.rest(NOW_MS + 25 * HOUR_MS)
    assert [(orjson.loads(value)["tags"], orjson.loads(value)["n_raw"]) for value in last.values] == [
        ({"host": "b"}, 10)
    ]
    assert owner.series_count == 1
    assert owner.balance.expired_series == 1
    assert_balanced(owner.balance)


def test_a_chunk_that_ended_by_silence_too_soon_is_replaced_when_the_log_is_read_again() -> None:
    batch = batch_of(lines("a", range(12)), 0)
    owner = downsampler()
    chunks(owner, batch, [0, 6])
    early = owner.rest(NOW_MS + 100 * HOUR_MS)
    again = downsampler()
    chunks(again, batch, [0, 12])
    late = again.finish()
    first, second = orjson.loads(early.values[0]), orjson.loads(late.values[0])
    assert first["start_ms"] == second["start_ms"]
    assert first["revision"] < second["revision"]


def test_a_snapshot_of_other_settings_is_refused() -> None:
    state = downsampler().snapshot(5)
    with pytest.raises(ValueError, match="other settings"):
        PartitionDownsampler(3, RULES._replace(ratio=0.2), kind_of, snapshot=state)

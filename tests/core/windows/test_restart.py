"""A crash leaves no trace: whatever was lost and read again, the latest revisions are those of an undisturbed run.

The log is one partition. A run is fed batches of random sizes; after some of them it saves a checkpoint (all that was
emitted before is acknowledged then), after others it crashes: a random part of what was emitted after the last
checkpoint is lost, and a new owner goes on from the checkpoint, sometimes from an older one, which a paused worker
saved late.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import orjson
import pytest

from pipeline.core.records.telegraf.parser import RecordBatch, batch_of
from pipeline.core.windows.aggregator import PartitionAggregator
from pipeline.core.windows.checkpoint import AggregateCheckpoint
from tests.support.core.aggregating import BASE_MS, Partition, line, rules_of, windows
from tests.support.core.random_logs import FAR_AHEAD_MS, RULES, is_counter, random_log, splits

RECORDS = 400
CRASHES = 30
TENS = int(os.environ.get("CINNAMON_RESTART_LOGS", "100")) // 10
"""A hundred logs unless the environment asks for more: 300 take half a minute."""
NEVER = -(1 << 62)

Latest = dict[tuple[str, str, int], dict[str, Any]]
Spoil = Callable[[AggregateCheckpoint], AggregateCheckpoint]


@dataclass
class Emitted:
    """What reached metrics.agg."""

    values: list[bytes] = field(default_factory=list)
    crashes: int = 0
    replayed: int = 0

    def latest(self) -> Latest:
        """Of each window the record with the greatest revision, at equal revision the one that came last."""
        windows: Latest = {}
        for value in self.values:
            record = orjson.loads(value)
            key = (record["measurement"], str(record["tags"]), record["start_ms"])
            if key not in windows or record["revision"] >= windows[key]["revision"]:
                windows[key] = record
        return windows


def aggregator_of(checkpoint: AggregateCheckpoint | None = None) -> PartitionAggregator:
    return PartitionAggregator(0, RULES, is_counter, checkpoint=checkpoint)


def undisturbed(batch: RecordBatch, seed: int) -> tuple[Latest, Latest]:
    """Return the latest revisions before and after everything open was closed."""
    aggregator, emitted = aggregator_of(), Emitted()
    for first, last in splits(random.Random(seed), RECORDS, 40):
        emitted.values += aggregator.add(batch, first, last, FAR_AHEAD_MS).values
    before = emitted.latest()
    emitted.values += aggregator.finish().values
    return before, emitted.latest()


def with_crashes(
    batch: RecordBatch, seed: int, spoil: Spoil = lambda checkpoint: checkpoint, *, stale: float = 0.15
) -> tuple[Latest, Latest, Emitted]:
    """Return the same for a run that crashes about `CRASHES` times."""
    r = random.Random(seed)
    emitted, aggregator, position = Emitted(), aggregator_of(), 0
    checkpoints: list[AggregateCheckpoint | None] = [None]
    acknowledged = 0
    while position < RECORDS:
        last = min(RECORDS, position + r.randint(1, 40))
        emitted.values += aggregator.add(batch, position, last, FAR_AHEAD_MS).values
        position = last
        checkpoint = aggregator.checkpoint() if r.random() < 0.5 else None
        if checkpoint is not None:
            checkpoints.append(AggregateCheckpoint.from_bytes(checkpoint.to_bytes()))
            acknowledged = len(emitted.values)
        if emitted.crashes < CRASHES and r.random() < 0.6:
            emitted.crashes += 1
            emitted.replayed += aggregator.balance.replayed
            del emitted.values[r.randint(acknowledged, len(emitted.values)) :]
            chosen = r.choice(checkpoints[-4:]) if r.random() < stale else checkpoints[-1]
            if chosen is not None:
                chosen = spoil(chosen)
            aggregator = aggregator_of(chosen)
            position = 0 if chosen is None else chosen.offset
    before = emitted.latest()
    emitted.values += aggregator.finish().values
    return before, emitted.latest(), emitted


def differences(left: Latest, right: Latest) -> str:
    """Say which windows differ first, for the message of a failed test."""
    keys = [key for key in sorted({*left, *right}, key=str) if left.get(key) != right.get(key)]
    return f"{len(keys)} windows differ, first {keys[0]}: {left.get(keys[0])} != {right.get(keys[0])}" if keys else ""


def batch_for(seed: int) -> RecordBatch:
    log = random_log(seed, RECORDS, clean=True)
    return batch_of(log.values, 0, log.timestamps_ms)


def test_a_replay_may_take_several_calls() -> None:
    # a  1 | 11   → [0,10) emitted; checkpoint; the log is read again one record a call
    before = Partition(rules_of())
    assert len(before.feed(line("a", 1), line("a", 11), line("a", 12))) == 1
    after = Partition(rules_of(), checkpoint=before.aggregator.checkpoint())
    for value in (line("a", 1), line("a", 11)):
        assert after.feed(value) == []
        assert after.aggregator.replaying
        assert after.aggregator.checkpoint() is None
    assert after.feed(line("a", 12)) == []
    assert not after.aggregator.replaying
    checkpoint = after.aggregator.checkpoint()
    assert checkpoint is not None
    assert (checkpoint.offset, checkpoint.highest_offset) == (0, 2)
    assert windows(after.feed(line("a", 21))) == [("a", 10)]


def test_the_balance_holds_after_a_restart() -> None:
    before = Partition(rules_of())
    before.feed(line("a", 1), line("a", 11), line("a", 12))
    after = Partition(rules_of(), checkpoint=before.aggregator.checkpoint())
    after.feed(line("a", 1), line("a", 11), line("a", 12), line("a", 13))
    balance = after.aggregator.balance
    assert balance.parsed == balance.aggregated + balance.late + balance.too_late + balance.open_samples


def test_silence_that_made_a_sample_too_late_does_so_again_when_it_is_read_again() -> None:
    # correction 0.  a  1 (c=1) idles out as b and d go on; then 9 (c=5) is too late.  Then 11 (c=8): bridges from 1.
    # A restart reads 1, 9 and 11 again: whatever became of the sample at 9, [10,20) must come out as it did before.
    rules = rules_of(allowed_lateness_s=0, idle_close_s=10)
    log = [line("b", 0), line("d", 0), line("a", 1, "c=1"), line("b", 12), line("d", 12)]
    log += [line("a", 9, "c=5"), line("a", 11, "c=8")]
    before = Partition(rules)
    before.feed(*log[:5])
    before.feed(*log[5:])
    checkpoint = before.aggregator.checkpoint()
    assert checkpoint is not None
    after = Partition(rules, checkpoint=checkpoint)
    after.feed(*log[checkpoint.offset :])
    want = [record for record in before.finish() if record["tags"]["host"] == "a"]
    got = [record for record in after.finish() if record["tags"]["host"] == "a"]
    assert got == want


@pytest.mark.parametrize("tens", range(TENS))
def test_crashes_leave_no_difference_in_the_latest_revisions(tens: int) -> None:
    crashes = replayed = 0
    for seed in range(10 * tens, 10 * tens + 10):
        batch = batch_for(seed)
        want_open, want_finished = undisturbed(batch, seed)
        got_open, got_finished, emitted = with_crashes(batch, seed + 10**6)
        assert not differences(got_open, want_open), seed
        assert not differences(got_finished, want_finished), seed
        crashes += emitted.crashes
        replayed += emitted.replayed
    assert crashes > 10 * CRASHES * 0.5
    assert replayed > 0


SPOILED: dict[str, Spoil] = {
    "offset": lambda c: replace(c, offset=c.highest_offset + 1),
    "highest_offset": lambda c: replace(c, highest_offset=c.offset - 1),
    "newest_ms": lambda c: replace(c, newest_ms=np.full_like(c.newest_ms, NEVER)),
    "floor_ms": lambda c: replace(c, floor_ms=np.full_like(c.floor_ms, NEVER)),
}
"""The two others have tests of their own: they decide when a window comes out, hardly ever what is in it."""


def test_a_quiet_resource_closes_by_the_partitions_time_after_a_restart_too() -> None:
    # a  1   b, c  2 | 15      a is silent while the partition moves on to 15
    log = [line("a", 1), line("b", 2), line("c", 2)]
    before = Partition(rules_of(idle_close_s=5))
    before.feed(*log)
    checkpoint = before.aggregator.checkpoint()
    assert checkpoint is not None
    after = Partition(rules_of(idle_close_s=5), checkpoint=checkpoint)
    after.feed(*log[checkpoint.offset :])
    assert ("a", 0) in windows(after.feed(line("b", 15), line("c", 15)))


def test_the_partitions_time_does_not_go_back_over_a_restart() -> None:
    # b is 5 s ahead of a: P = 5.  Then b jumps beyond the lead: a's 0 would count now, but P does not go back.
    partition = Partition(rules_of())
    partition.feed(line("a", 0), line("b", 5), line("b", 40))
    assert partition.aggregator.partition_time_ms == BASE_MS + 5000
    checkpoint = partition.aggregator.checkpoint()
    assert checkpoint is not None
    after = Partition(rules_of(), checkpoint=checkpoint)
    after.feed(*[line("a", 0), line("b", 5), line("b", 40)][checkpoint.offset :], line("b", 41))
    assert after.aggregator.partition_time_ms == BASE_MS + 5000


@pytest.mark.parametrize("number", SPOILED)
def test_without_any_one_number_of_the_checkpoint_logs_end_differently(number: str) -> None:
    for seed in range(100):
        batch = batch_for(seed)
        want = undisturbed(batch, seed)
        got = with_crashes(batch, seed + 10**6, SPOILED[number], stale=0.0)
        if got[:2] != want:
            return
    pytest.fail(f"dropping {number} from every checkpoint changed nothing in 100 logs")

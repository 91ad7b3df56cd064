"""Rows that no window needs any more are left behind without a trace."""

import random
import re

import orjson

from pipeline.core.records.telegraf.parser import RecordBatch, batch_of
from pipeline.core.windows.aggregator import PartitionAggregator
from tests.support.core.random_logs import RULES, is_counter, random_log, splits

NOW_MS = 2_000_000_000_000
RECORDS = 600


def churning_log(seed: int) -> list[bytes]:
    """Return a random log whose hosts are replaced by others all the time, as pods are."""
    log = random_log(seed, RECORDS, clean=True)
    return [re.sub(rb"vm(\d)", b"vm%d-\\1" % (i // 40), value) for i, value in enumerate(log.values)]


def canonical(values: list[bytes]) -> list[bytes]:
    """Return records in an order of their own, their fields too: a row that comes again has them as they came then."""
    return sorted(orjson.dumps(orjson.loads(value), option=orjson.OPT_SORT_KEYS) for value in values)


def emitted(aggregator: PartitionAggregator, batch: RecordBatch, seed: int, *, compact: bool) -> list[bytes]:
    values: list[bytes] = []
    for first, last in splits(random.Random(seed), RECORDS, 30):
        aggregator._compact_at = 0 if compact else RECORDS * 1000
        values += canonical(aggregator.add(batch, first, last, NOW_MS).values)
    return values + canonical(aggregator.finish().values)


def test_compaction_changes_no_record() -> None:
    for seed in range(20):
        batch = batch_of(churning_log(seed), 0)
        plain = PartitionAggregator(0, RULES, is_counter)
        compacting = PartitionAggregator(0, RULES, is_counter)
        want = emitted(plain, batch, seed, compact=False)
        assert emitted(compacting, batch, seed, compact=True) == want, seed
        assert compacting.balance == plain.balance
        assert compacting.series_count < plain.series_count * 0.75


def test_a_restart_after_a_compaction_goes_on_as_if_there_had_been_none() -> None:
    for seed in range(10):
        batch = batch_of(churning_log(seed), 0)
        aggregators = [PartitionAggregator(0, RULES, is_counter) for _ in range(2)]
        rests = []
        for aggregator, at in zip(aggregators, (0, RECORDS * 1000), strict=True):
            for first in range(0, 400, 20):
                aggregator._compact_at = at
                aggregator.add(batch, first, first + 20, NOW_MS)
            checkpoint = aggregator.checkpoint()
            assert checkpoint is not None
            again = PartitionAggregator(0, RULES, is_counter, checkpoint=checkpoint)
            after = again.add(batch, checkpoint.offset, RECORDS, NOW_MS).values
            rests.append(canonical(after) + canonical(again.finish().values))
        assert rests[0] == rests[1], seed


def test_memory_follows_the_fleet_as_it_is() -> None:
    aggregator = PartitionAggregator(0, RULES, is_counter)
    start_s = 1_600_000_000
    for generation in range(40):
        values = [b"cpu,host=h%d-%d v=1 %d" % (generation, i, start_s + generation * 120) for i in range(1000)]
        values.append(b"cpu,host=keeper v=1 %d" % (start_s + generation * 120))
        aggregator.add(batch_of(values, generation * 2000), 0, len(values), NOW_MS)
    assert aggregator.series_count < 21_000

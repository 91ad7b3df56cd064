"""A worker that is killed again and again leaves no trace, wherever it was in its work."""

import random
from enum import Enum

import pytest

from tests.support.faults.load import load, parts
from tests.support.faults.sizes import only_full, size
from tests.support.faults.system import System, has_read
from tests.support.faults.verdict import assert_backlogs_whole, assert_undisturbed
from tests.support.stages.worker import Scrape, Worker

KILLS = size(full=20, bounded=5)
RECORDS = size(full=1500, bounded=500)
"""Of each partition, beside about 1,100 of the steady, the wrong and the cut off agents."""

pytestmark = pytest.mark.real


class Moment(Enum):
    """Where a worker is when it is killed."""

    JOINING = "before it has its partitions"
    REPLAYING = "after its first records, which an earlier one had folded"
    AT_WORK = "somewhere in the new records"
    SAVED = "just after a checkpoint"
    WRITTEN = "just after a write to the store"


def reach(worker: Worker, moment: Moment, r: random.Random, new: int) -> None:
    """Wait until a worker is there, or has done all there is.

    ``new`` is the number of records that no worker has read.
    """
    if moment is Moment.JOINING:
        return
    left = new * r.uniform(0.1, 0.9)
    first = r.randint(1, 60)
    ages = [0.0]

    def is_saved(scrape: Scrape) -> bool:
        ages.append(scrape.total("checkpoint_age_seconds", stage="aggregate"))
        return ages[-1] < ages[-2]

    conditions = {
        Moment.REPLAYING: lambda scrape: read(scrape) >= first,
        Moment.AT_WORK: lambda scrape: read(scrape) > 0 and scrape.total("lag_records", stage="aggregate") <= left,
        Moment.SAVED: is_saved,
        Moment.WRITTEN: lambda scrape: scrape.total("written_points_total") > 0,
    }
    condition = conditions[moment]
    worker.wait_for(
        lambda scrape: condition(scrape) or (read(scrape) > 0 and scrape.total("lag_records") == 0), moment.value
    )


def read(scrape: Scrape) -> float:
    return scrape.total("input_records_total", stage="aggregate")


@pytest.mark.timeout(1200)
def test_kills_at_random_points_leave_no_trace(system: System, seed: int) -> None:
    r = random.Random(seed)
    stream = load(seed, RECORDS)
    worker = system.worker()
    moments = [*Moment, *r.choices(list(Moment), k=KILLS)][:KILLS]
    r.shuffle(moments)
    for moment, part in zip(moments, parts(stream, KILLS), strict=True):
        worker.start()
        new = system.produce(part)
        reach(worker, moment, r, new)
        worker.kill()
    system.finish(worker)
    assert_undisturbed(system)
    assert_backlogs_whole(system)


@only_full
def test_two_workers_killed_at_the_same_moment_leave_no_trace(system: System, seed: int) -> None:
    stream = load(seed, 800)
    first, second = system.worker("first"), system.worker("second")
    first.start()
    system.produce(stream[: len(stream) // 2])
    second.start().ready()
    has_read(second, 1)
    first.kill()
    second.kill()
    system.produce(stream[len(stream) // 2 :])
    system.finish(first)
    assert_undisturbed(system)

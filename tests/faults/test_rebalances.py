"""Workers that join and leave while data flows leave no trace, however they go."""

import random

import pytest

from tests.support.faults.load import load, parts
from tests.support.faults.sizes import size
from tests.support.faults.system import System, has_read
from tests.support.faults.verdict import assert_backlogs_whole, assert_undisturbed

EVENTS = size(full=16, bounded=5)
RECORDS = size(full=1500, bounded=400)

pytestmark = pytest.mark.real


@pytest.mark.timeout(900)
def test_workers_that_join_and_leave_leave_no_trace(system: System, seed: int) -> None:
    r = random.Random(seed)
    stays, *others = (system.worker(name) for name in ("first", "second", "third"))
    stays.start()
    for part in parts(load(seed, RECORDS), EVENTS):
        count = system.produce(part)
        worker = r.choice(others)
        if not worker.is_running:
            worker.start().ready()
        elif r.random() < 0.5:
            worker.kill()
        else:
            worker.stop()
        if worker.is_running and r.random() < 0.5:
            has_read(worker, count * r.uniform(0.01, 0.1))
    for worker in others:
        if worker.is_running:
            worker.stop()
    system.finish(stays)
    assert_undisturbed(system)
    assert_backlogs_whole(system)

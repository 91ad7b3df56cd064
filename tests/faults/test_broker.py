"""A broker that is killed and comes back leaves no trace; workers go on by themselves."""

import random

import pytest

from tests.support.faults.load import load, parts
from tests.support.faults.sizes import only_full
from tests.support.faults.system import System, has_read
from tests.support.faults.verdict import assert_undisturbed

RECORDS = 400

pytestmark = pytest.mark.real


def test_a_broker_that_is_killed_and_comes_back_leaves_no_trace(own_system: System, seed: int) -> None:
    first, second = parts(load(seed, RECORDS), 2)
    worker = own_system.worker().start()
    count = own_system.produce(first)
    has_read(worker, count * random.Random(seed).uniform(0.1, 0.9))
    own_system.broker.kill()
    own_system.broker.start()
    own_system.produce(second)
    own_system.finish(worker)
    assert_undisturbed(own_system)


@only_full
def test_a_worker_that_is_killed_while_the_broker_is_away_leaves_no_trace(own_system: System, seed: int) -> None:
    first, second = parts(load(seed, RECORDS), 2)
    worker = own_system.worker().start()
    count = own_system.produce(first)
    has_read(worker, count * random.Random(seed).uniform(0.1, 0.9))
    own_system.broker.kill()
    worker.wait_for(lambda _: "BrokerConnection" in worker.log() or "refused" in worker.log(), "a broken connection")
    worker.kill()
    own_system.broker.start()
    own_system.produce(second)
    own_system.finish(worker)
    assert_undisturbed(own_system)


@only_full
def test_a_broker_that_is_killed_again_and_again_leaves_no_trace(own_system: System, seed: int) -> None:
    r = random.Random(seed)
    worker = own_system.worker().start()
    read = 0.0
    for part in parts(load(seed, RECORDS), 4):
        read += own_system.produce(part) * r.uniform(0.1, 0.9)
        has_read(worker, read)
        own_system.broker.kill()
        own_system.broker.start()
    own_system.finish(worker)
    assert_undisturbed(own_system)

"""SIGTERM under load: the worker ends well within its grace period, and the next one goes on where it stood."""

import random
import re
import time

import orjson
import pytest

from tests.support.faults.checkpoints import newest_checkpoints
from tests.support.faults.load import load, parts
from tests.support.faults.sizes import only_full, size
from tests.support.faults.system import System, has_read
from tests.support.faults.verdict import assert_undisturbed
from tests.support.servers.proxy import Mode, proxy_of
from tests.support.stages.databases import influxdb_store
from tests.support.stages.worker import Worker

GRACE_S = 30.0
"""What Kubernetes gives a pod unless it is told otherwise."""
STOPS = size(full=6, bounded=1)
RECORDS = size(full=1500, bounded=400)

pytestmark = pytest.mark.real


def stop_in_time(worker: Worker) -> None:
    begun_s = time.monotonic()
    worker.stop()  # exit status 0
    assert time.monotonic() - begun_s < GRACE_S


def begins(log: str) -> dict[int, int]:
    """Return the offsets of metrics.raw that the last start went on at."""
    places = re.findall(r"generation \d+ of the group begins at ({'metrics\.raw.*})", log)[-1]
    return {
        int(name.removeprefix("metrics.raw[").rstrip("]")): offset
        for name, offset in orjson.loads(places.replace("'", '"')).items()
    }


def test_a_worker_that_is_stopped_under_load_hands_over_what_it_did(system: System, seed: int) -> None:
    r = random.Random(seed)
    worker = system.worker()
    for part in parts(load(seed, RECORDS), STOPS):
        count = system.produce(part)
        has_read(worker.start(), count * r.uniform(0.1, 0.6))
        stop_in_time(worker)
        saved = newest_checkpoints(system.broker)
        assert system.committed("cinnamon-aggregate") == {
            partition: checkpoint["highest_offset"] + 1 for partition, checkpoint in saved.items()
        }
        worker.start().ready()
        assert begins(worker.log()) == {partition: checkpoint["offset"] for partition, checkpoint in saved.items()}
        stop_in_time(worker)
    system.finish(worker)
    assert_undisturbed(system)


@only_full
def test_a_worker_whose_store_hangs_ends_in_time_and_loses_nothing(system: System, seed: int) -> None:
    with proxy_of(system.influxdb.url) as proxy:
        system.settings = system.with_stores(influxdb_store("one", system.influxdb, system.bucket, url=proxy.url))
        proxy.until_told(Mode.HANG)
        worker = system.worker().start()
        system.produce(load(seed, 100))
        worker.wait_for(lambda _: proxy.seen[Mode.HANG] > 0, "a request that hangs")
        stop_in_time(worker)
        proxy.until_told(Mode.PASS)
        system.finish(worker)
    assert_undisturbed(system)

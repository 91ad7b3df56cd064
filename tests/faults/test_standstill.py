"""A worker that stood still for longer than its session, and goes on, does no harm to what others did meanwhile."""

import random
import signal

import pytest

from tests.support.faults.load import load, parts
from tests.support.faults.sizes import only_full
from tests.support.faults.system import System, has_read
from tests.support.faults.verdict import assert_undisturbed
from tests.support.servers.proxy import Mode, proxy_of
from tests.support.stages.brokers import Raw
from tests.support.stages.databases import influxdb_store
from tests.support.stages.streams import BASE_MS, END_MS, end_line
from tests.support.stages.worker import Worker

HOSTS = 200

pytestmark = pytest.mark.real


def samples(second: int) -> list[Raw]:
    """Return one sample of each host."""
    return [
        Raw(b"cpu,host=h%d usage_user=%d %d000000" % (host, second, BASE_MS + second * 1000), b"h%d" % host)
        for host in range(HOSTS)
    ]


def has_joined(worker: Worker, times: int) -> None:
    """Wait until a worker was given partitions so often."""
    worker.wait_for(lambda _: worker.log().count("of the group begins at") >= times, f"assignment {times}")


def test_a_sink_that_stood_still_overwrites_no_correction(system: System) -> None:
    with proxy_of(system.influxdb.url) as proxy:
        system.settings = system.with_stores(influxdb_store("one", system.influxdb, system.bucket, url=proxy.url))
        aggregate = system.worker("aggregate", "aggregate").start()
        first, second = system.worker("first", "sink").start().ready(), system.worker("second", "sink")
        proxy.until_told(Mode.UNAVAILABLE)
        system.produce([*samples(0), *samples(13)])
        first.wait_for(lambda scrape: scrape.total("paused_partitions") == 4, "the windows in hand of the first")
        first.send_signal(signal.SIGSTOP)
        proxy.until_told(Mode.PASS)
        second.start()
        system.wait_until_done(second)
        system.produce(samples(5))
        system.wait_until_done(second)
        first.send_signal(signal.SIGCONT)
        has_joined(first, 2)
        system.produce([Raw(end_line({"host": f"h{host}"}), b"h%d" % host, END_MS) for host in range(HOSTS)])
        system.wait_until_done(first)
        for worker in (first, second, aggregate):
            worker.stop()
    assert_undisturbed(system)


@only_full
def test_a_worker_that_stood_still_leaves_no_trace(system: System, seed: int) -> None:
    r = random.Random(seed)
    first, second = system.worker("first"), system.worker("second")
    before, meanwhile, after = parts(load(seed, 800), 3)
    count = system.produce(before)
    first.start()
    has_read(first, count * r.uniform(0.1, 0.9))
    first.send_signal(signal.SIGSTOP)
    count = system.produce(meanwhile)
    second.start()
    has_read(second, count * r.uniform(0.3, 0.9))
    first.send_signal(signal.SIGCONT)
    system.produce(after)
    has_joined(first, 4)
    system.wait_until_done(second)
    first.stop()
    system.finish(second)
    assert_undisturbed(system)


@only_full
def test_old_windows_of_a_worker_that_stood_still_do_not_reach_the_store_over_newer_ones(system: System) -> None:
    """Also when the sink that wrote the newer ones has ended, and knows nothing of them any more."""
    first, second = system.worker("first", "aggregate"), system.worker("second", "aggregate")
    sink = system.worker("sink", "sink").start()
    first.start().ready()
    system.produce([*samples(0), *samples(13)])
    has_read(first, HOSTS * 1.1)
    first.send_signal(signal.SIGSTOP)
    system.produce(samples(5))
    second.start()
    system.wait_until_done(second)
    sink.stop()
    sink.start().ready()
    first.send_signal(signal.SIGCONT)
    has_joined(first, 2)
    system.produce([Raw(end_line({"host": f"h{host}"}), b"h%d" % host, END_MS) for host in range(HOSTS)])
    system.wait_until_done(second)
    for worker in (first, second, sink):
        worker.stop()
    assert_undisturbed(system)

"""A store that goes wrong in any way holds up its own windows alone, and has them all afterwards."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

import topics
from schemas.reasons import DeadLetterReason
from tests.support.faults.load import load, parts
from tests.support.faults.sizes import only_full
from tests.support.faults.system import System
from tests.support.faults.verdict import assert_undisturbed
from tests.support.servers.influxdb import InfluxDB
from tests.support.servers.proxy import Mode, Proxy, proxy_of
from tests.support.stages.brokers import Raw, produce, read_topic
from tests.support.stages.databases import assert_same_points, influxdb_store, points_in_influxdb, points_of
from tests.support.stages.sinks import dead_letters_of, decided, emitted_by, emitted_now, in_region, until_written
from tests.support.stages.streams import BASE_MS, END_MS, decoded, end_line
from tests.support.stages.worker import Scrape, running
from tests.support.waiting import wait_until

RECORDS = 150
OUTAGE_S = float(os.environ.get("CINNAMON_FAULT_OUTAGE_S", "0"))
"""A long outage lasts until the pauses have grown to their greatest, and at least so long."""
REQUESTS_TO_GREATEST_PAUSE = 4 + 6
"""Four attempts at once, then pauses of 2, 4, 8, 16, 30 and 30 s; every later pause is as the last one."""

pytestmark = pytest.mark.real


@pytest.fixture
def proxy(influxdb: InfluxDB) -> Iterator[Proxy]:
    """A proxy in front of the database."""
    with proxy_of(influxdb.url) as made:
        yield made


def read(scrape: Scrape) -> float:
    return scrape.total("input_records_total", stage="aggregate")


def test_every_way_to_fail_is_waited_out(system: System, proxy: Proxy, seed: int) -> None:
    place = influxdb_store("one", system.influxdb, system.bucket, url=proxy.url, timeout_s=1)
    system.settings = system.with_stores(place)
    # what drips arrives, and is not sent again
    faults = {mode: 1 if mode is Mode.DRIP else 2 for mode in Mode if mode is not Mode.PASS}
    with running(system.worker()) as worker:
        count = 0
        for (mode, times), part in zip(faults.items(), parts(load(seed, RECORDS), len(faults)), strict=True):
            proxy.follow([(mode, times)], retry_after_s=1)
            count += system.produce(part)
            worker.wait_for(lambda _, mode=mode, times=times: proxy.seen[mode] == times, f"requests that go so: {mode}")
            scrape = until_written(worker, count)
            assert worker.get("/healthz")[0] == 200
        assert scrape.total("write_retries_total") >= sum(faults.values()) - 1
        system.finish(worker)
    assert_undisturbed(system)


def of_other_region(system: System) -> int:
    return len(in_region(emitted_now(system.broker), "us-east"))


@pytest.mark.parametrize(
    "mode",
    [pytest.param(Mode.HANG, id="hangs"), pytest.param(Mode.UNAUTHORIZED, id="refuses", marks=only_full)],
)
def test_a_region_whose_store_fails_delays_neither_another_nor_the_windows(
    system: System, proxy: Proxy, mode: Mode, seed: int
) -> None:
    down = system.influxdb.create_bucket(f"{system.bucket}-down")
    system.settings = system.with_stores(
        influxdb_store("one", system.influxdb, system.bucket),
        influxdb_store("two", system.influxdb, down, "us-*", url=proxy.url, timeout_s=1),
    )
    proxy.until_told(mode)
    with running(system.worker()) as worker:
        count = system.produce(load(seed, RECORDS))
        # keyless records come twice, the second time with a key
        worker.wait_for(lambda scrape: scrape.total("paused_partitions", stage="sink-two") > 0, "the pause")
        worker.wait_for(
            lambda scrape: (
                read(scrape) >= count
                and scrape.total("lag_records", stage="aggregate") == 0
                and decided(scrape, stage="sink-one") == emitted_by(scrape) - of_other_region(system)
            ),
            "the other store's windows",
        )
        assert decided(worker.scrape(), stage="sink-two") == 0
        assert worker.get("/healthz")[0] == 200
        ours = [record for record in emitted_now(system.broker) if record["tags"].get("region") != "us-east"]
        assert_same_points(points_in_influxdb(system.influxdb, system.bucket), points_of(ours))
        proxy.until_told(Mode.PASS)
        system.finish(worker)
    assert_undisturbed(system, stores={system.bucket: ("eu-west", None), down: ("us-east",)})


@only_full
def test_a_database_that_is_killed_gets_everything_when_it_is_back(
    system: System, own_influxdb: InfluxDB, seed: int
) -> None:
    system.settings = system.with_stores(
        influxdb_store("one", system.influxdb, system.bucket),
        influxdb_store("two", own_influxdb, own_influxdb.bucket, "us-*"),
    )
    first, second = parts(load(seed, RECORDS), 2)
    with running(system.worker()) as worker:
        count = system.produce(first)
        until_written(worker, count)
        own_influxdb.kill()
        system.produce(second)
        worker.wait_for(lambda scrape: scrape.total("paused_partitions", stage="sink-two") > 0, "the pause")
        own_influxdb.start()
        system.finish(worker)
    assert_undisturbed(system, stores={system.bucket: ("eu-west", None)})
    got = points_in_influxdb(own_influxdb, own_influxdb.bucket)
    assert_same_points(got, points_of(in_region(emitted_now(system.broker), "us-east")))


@only_full
@pytest.mark.timeout(1500)
def test_after_an_outage_of_ten_minutes_everything_arrives(system: System, proxy: Proxy, seed: int) -> None:
    # Once the pause is the longest, nothing in the worker changes any more with the time that passes: the next try
    # is 30 s away, the partitions are held, nothing is read. CINNAMON_FAULT_OUTAGE_S=600 waits all the same.
    system.settings = system.with_stores(influxdb_store("one", system.influxdb, system.bucket, url=proxy.url))
    proxy.until_told(Mode.RESET)
    begun_s = time.monotonic()
    with running(system.worker()) as worker:
        for part in parts(load(seed, RECORDS), 10):
            system.produce(part)
        wait_until(
            lambda: proxy.seen[Mode.RESET] >= REQUESTS_TO_GREATEST_PAUSE and time.monotonic() - begun_s >= OUTAGE_S,
            timeout_s=OUTAGE_S + 180,
            what="the longest pause",
            every_s=0.2,
            alive=lambda: worker.is_running,
        )
        assert worker.get("/healthz")[0] == 200
        assert max(system.committed("cinnamon-sink-one").values()) == 0
        proxy.until_told(Mode.PASS)
        system.finish(worker)
    assert_undisturbed(system)


ROWS = 5000


def test_of_a_full_batch_the_points_that_the_database_refuses_are_dead_letters_alone(
    system: System, tmp_path: Path
) -> None:
    # what the last records close goes into one batch
    row = b"cpu,host=wide,device=%d usage=%d %d000000"
    records = [Raw(b"\n".join(row % (n, n, BASE_MS) for n in range(k, k + 100)), b"wide") for k in range(0, ROWS, 100)]
    conflict = b"gpu,host=wide usage=5 %d000000" % BASE_MS  # 422: of another type there
    long_ago = b"old,host=old usage=1 -9223372036854775808"  # 400: the window begins before what InfluxDB can tell
    system.influxdb.write(b'gpu,host=other usage_avg="a text" %d000000' % BASE_MS, bucket=system.bucket)
    records.insert(ROWS // 200, Raw(conflict, b"wide"))
    ends = [Raw(end_line({"host": host}), b"wide", END_MS) for host in ("old", "wide")]
    produce(system.broker, [Raw(long_ago, b"wide"), *records, *ends])
    with running(system.worker()) as worker:
        system.finish(worker)
    stored = read_topic(system.broker, topics.METRICS_AGG)
    places = {orjson.loads(one.value)["measurement"]: one for one in stored}
    dead_letters = dead_letters_of(system.broker, "sink-one")
    want = [(DeadLetterReason.STORE_REJECTED, places[name].offset, places[name].value) for name in ("gpu", "old")]
    got = [(dead_letter.reason, dead_letter.offset, dead_letter.value) for dead_letter in dead_letters]
    assert sorted(got) == sorted(want)
    messages = {dead_letter.offset: dead_letter.message for dead_letter in dead_letters}
    assert "field type conflict" in messages[places["gpu"].offset]
    assert "time outside range" in messages[places["old"].offset]
    others = [record for record in decoded(stored) if record["measurement"] not in {"gpu", "old"}]
    assert len(others) == ROWS
    assert_same_points(points_in_influxdb(system.influxdb, system.bucket, without="gpu"), points_of(others))

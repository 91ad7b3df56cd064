"""Faults that Faust's own users report, each shown not to be ours; numbers are those of faust-streaming's issues."""

import pytest

import topics
from tests.support.core.random_logs import BASE_MS
from tests.support.core.reference_windows import Record
from tests.support.faults.load import POISON, load, parts
from tests.support.faults.sizes import only_full
from tests.support.faults.system import System, has_read
from tests.support.faults.verdict import assert_audit_passes, assert_undisturbed
from tests.support.servers.proxy import Mode, proxy_of
from tests.support.stages.brokers import Raw, read_topic
from tests.support.stages.databases import influxdb_store
from tests.support.stages.streams import END_MS, decoded, end_line, latest
from tests.support.stages.worker import Worker
from tests.support.waiting import wait_until

RECORDS = 150
SILENT_S = 8
"""After so long by the clock windows close without another record: later than a worker is killed here."""

pytestmark = pytest.mark.real


def windows_of(system: System) -> list[Record]:
    return list(latest(decoded(read_topic(system.broker, topics.METRICS_AGG))).values())


def has_all_read(first: Worker, second: Worker, count: int) -> bool:
    return sum(worker.scrape().total("input_records_total", stage="aggregate") for worker in (first, second)) >= count


def test_nothing_is_committed_while_an_earlier_record_is_unfinished(system: System, seed: int) -> None:
    """606: an offset was committed past a message still in work, and a kill then lost that message."""
    with proxy_of(system.influxdb.url) as proxy:
        system.settings = system.with_stores(influxdb_store("one", system.influxdb, system.bucket, url=proxy.url))
        proxy.until_told(Mode.UNAVAILABLE)
        worker = system.worker().start()
        system.produce(load(seed, RECORDS))
        worker.wait_for(
            lambda scrape: (
                scrape.total("input_records_total", stage="sink-one") > 0
                and scrape.total("paused_partitions", stage="sink-one") == 4
                and scrape.total("lag_records", stage="aggregate") == 0
            ),
            "records that the sink has read and cannot write",
        )
        assert set(system.committed("cinnamon-sink-one").values()) == {0}
        worker.kill()
        proxy.until_told(Mode.PASS)
        system.finish(worker)
    assert_undisturbed(system)


@only_full
def test_a_commit_that_failed_is_made_again_without_new_records(own_system: System, seed: int) -> None:
    """316: Faust counted an offset as committed although the broker had not taken it, and never tried again."""
    worker = own_system.worker().start()
    count = own_system.produce(load(seed, RECORDS))
    has_read(worker, count * 0.5)
    own_system.broker.kill()
    worker.wait_for(lambda _: "offsets not committed" in worker.log(), "a commit that fails")
    own_system.broker.start()
    own_system.finish(worker)
    assert_undisturbed(own_system)


def test_windows_that_were_open_when_a_worker_died_come_out_though_nothing_more_is_sent(system: System) -> None:
    """193: open windows of a worker that died, and those that ended while partitions moved, were never heard of."""
    system.settings["windows"]["idle_close_s"] = SILENT_S
    first, second = (system.worker(name).start() for name in ("first", "second"))
    nodes = [(partition, f"p{partition}n{number}") for partition in range(4) for number in range(3)]
    sent = [
        Raw(f"cpu,ns_id=n,infra_id=m,node_id={node} v={second}i {BASE_MS + second * 1000}000000".encode(),
            f"n/m/{node}".encode(), BASE_MS + second * 1000, partition)
        for second in range(0, 40, 5)
        for partition, node in nodes
    ]  # fmt: skip
    system.produce(sent)
    for worker in (first, second):
        has_read(worker, 1)
    wait_until(lambda: has_all_read(first, second, len(sent)), timeout_s=60, what="all records read")
    second.kill()

    def closed() -> set[tuple[str, int]]:
        return {(one["tags"]["node_id"], one["start_ms"] - BASE_MS) for one in windows_of(system)}

    every = {(node, start_ms) for _, node in nodes for start_ms in range(0, 40_000, 10_000)}
    wait_until(lambda: closed() >= every, timeout_s=90, what="every window", every_s=0.5)
    assert closed() == every
    assert all(one["fields"]["v"]["count"] == 2 for one in windows_of(system))
    system.finish(first)
    assert_audit_passes(system)


@only_full
def test_no_partition_falls_silent_over_what_cannot_be_read(system: System, seed: int) -> None:
    """175: an exception or a value that did not decode ended an agent, and the process looked well for ever.

    That a bug ends the process with status 1 is tested in tests/runtime/engine/test_worker.py.
    """
    worker = system.worker().start()
    for part in parts(load(seed, RECORDS), 2):
        poison = [Raw(value, b"bad", BASE_MS, partition) for value in POISON[:-1] for partition in range(4)]
        system.produce([*poison, *part])
        system.wait_until_done(worker)
        assert worker.get("/healthz")[0] == 200
    system.finish(worker)
    assert_undisturbed(system)


def test_a_record_that_is_sent_on_keeps_its_time(system: System) -> None:
    """427: what Faust sent on to group it by another key got the time of sending, and fell into another window."""
    lines = [b"cpu,ns_id=ns9,infra_id=m9,node_id=c1 usage_user=%d" % number for number in range(3)]  # without a time
    worker = system.worker().start()
    system.produce([Raw(line, None, BASE_MS + 20_000 * number) for number, line in enumerate(lines)])
    worker.wait_for(lambda scrape: scrape.total("rekeyed_records_total") == 3, "the records with a key")
    tags = {"ns_id": "ns9", "infra_id": "m9", "node_id": "c1"}
    system.produce([Raw(end_line(tags), b"ns9/m9/c1", END_MS)])
    system.finish(worker)
    windows = decoded(read_topic(system.broker, topics.METRICS_AGG))
    assert [(one["start_ms"] - BASE_MS, one["fields"]["usage_user"]["last"]) for one in windows] == [
        (0, 0.0),
        (20_000, 1.0),
        (40_000, 2.0),
    ]

"""A checkpoint that is missing or broken is never an empty state: the windows are built anew from the log."""

import orjson
import pytest

import topics
from tests.support.faults.checkpoints import newest_checkpoints, overwrite
from tests.support.faults.load import load, parts
from tests.support.faults.system import System, has_read
from tests.support.faults.verdict import assert_undisturbed
from tests.support.stages.brokers import Raw, read_topic
from tests.support.stages.streams import BASE_MS, END_MS, assert_equal, decoded, end_line, expected, latest

RECORDS = 300

pytestmark = pytest.mark.real


def test_without_a_checkpoint_that_can_be_read_windows_are_built_anew(system: System, seed: int) -> None:
    first, second = parts(load(seed, RECORDS), 2)
    worker = system.worker().start()
    count = system.produce(first)
    has_read(worker, count * 0.8)
    worker.wait_for(lambda _: len(newest_checkpoints(system.broker)) == 4, "checkpoints of all partitions")
    worker.kill()
    saved = newest_checkpoints(system.broker)
    overwrite(system.broker, 0, None)
    overwrite(system.broker, 1, b"\x00\xff no checkpoint")
    overwrite(system.broker, 2, orjson.dumps({**saved[2], "version": 99}))
    overwrite(system.broker, 3, orjson.dumps(saved[3])[:-20])
    worker.start()
    system.produce(second)
    system.finish(worker)
    log = worker.log()
    assert log.count("partition 0 has no checkpoint: its windows begin with the earliest record there is") == 2
    for partition in (1, 2, 3):
        assert f"ERROR pipeline.stages.aggregate.stage: partition {partition}: " in log
    assert log.count("its windows are built anew from the earliest record there is") == 3
    assert_undisturbed(system)


def test_a_checkpoint_of_another_log_swallows_no_record(system: System, seed: int) -> None:
    """``metrics.raw`` is deleted and made anew, while the checkpoints stay."""
    worker = system.worker().start()
    system.produce(load(seed, RECORDS))
    system.wait_until_done(worker)
    worker.stop()
    admin = system.broker.admin()
    admin.delete_topics([topics.METRICS_RAW])[topics.METRICS_RAW].result(30)
    system.broker.create_topic(topics.METRICS_RAW)
    tags = {"host": "new"}
    lines = [b"cpu,host=new usage_user=%d %d000000" % (n, BASE_MS + n * 1000) for n in range(100)]
    system.produce([*(Raw(line, b"new") for line in lines), Raw(end_line(tags), b"new", END_MS)])
    system.finish(worker)
    want = expected(read_topic(system.broker, topics.METRICS_RAW), system.settings)
    got = decoded(read_topic(system.broker, topics.METRICS_AGG))
    assert_equal(latest(one for one in got if one["tags"] == tags), latest(want.records))
    assert "metrics.raw was made anew since its checkpoint" in worker.log()

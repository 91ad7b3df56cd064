"""The topic ``alerts`` followed: what was read, and how much waits behind what was taken."""

import topics
from pipeline.factory import Settings
from pipeline.runtime.kafka.alert_table import AlertTable
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.stages.brokers import Raw, pipeline_topics, produce
from tests.support.stages.streams import settings_of
from tests.support.waiting import wait_until


def test_what_waits_is_counted_from_where_the_reader_stands(own_embedded_broker: EmbeddedBroker) -> None:
    with pipeline_topics(own_embedded_broker, partitions=2, names=[topics.ALERTS]) as broker:
        produce(broker, [Raw(b"%d" % number, partition=0) for number in range(5)], topics.ALERTS)
        log = AlertTable(Settings.model_validate(settings_of(broker)).kafka, "test")
        assert log.waiting({}) == {}
        log.start({0: 2}, 30.0)
        records = []
        wait_until(lambda: records.extend(log.take(10)) or log.is_caught_up, timeout_s=30, what="the end")
        wait_until(lambda: len(log.waiting({})) == 2, timeout_s=30, what="the ends of both")
        log.close()
    assert [record.value for record in records] == [b"2", b"3", b"4"]
    assert log.waiting({0: 2}) == {0: 3, 1: 0}
    assert log.waiting({0: 5}) == {0: 0, 1: 0}

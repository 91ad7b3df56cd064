"""The transport against brokers: order, positions, commits, pauses, rebalances and broker restarts."""

import asyncio
import importlib
import inspect
import itertools
import logging
import os
from collections.abc import Callable

import pytest
from aiokafka.consumer.fetcher import Fetcher

from pipeline.core.records.kafka.columns import RecordColumns
from pipeline.runtime.engine.transport import AIOKAFKA_NAMES
from tests.support.runtime.stages import RecordingStage, kafka_settings, produce, running, until
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.kafka import KafkaBroker

Broker = KafkaBroker | EmbeddedBroker
_names = itertools.count()


@pytest.fixture(params=["embedded_broker", "kafka_broker"])
def broker(request: pytest.FixtureRequest) -> Broker:
    return request.getfixturevalue(request.param)


@pytest.fixture
def topic(broker: Broker) -> str:
    return new_topic(broker)


def new_topic(broker: Broker) -> str:
    name = f"transport-{os.getpid()}-{next(_names)}"
    return broker.create_topic(name) if isinstance(broker, KafkaBroker) else name


def stage_of(topic: str, **options: object) -> RecordingStage:
    return RecordingStage(source_topic=topic, group=f"cinnamon-{topic}", **options)


def numbered(n: int, start: int = 0) -> list[bytes]:
    return [b"cpu,host=vm-%d usage=%d" % (i % 7, i) for i in range(start, start + n)]


@pytest.mark.parametrize(("path", "names"), AIOKAFKA_NAMES.items())
def test_aiokafka_still_has_the_names_that_the_transport_uses(path: str, names: tuple[str, ...]) -> None:
    module, _, class_name = path.rpartition(".")
    owner = getattr(importlib.import_module(module), class_name)
    source = inspect.getsource(owner)
    missing = [name for name in names if not hasattr(owner, name) and f"self.{name} " not in source]
    assert not missing, f"aiokafka has moved {missing} of {path}: adapt runtime/engine/transport.py"


def test_aiokafkas_fetcher_still_keeps_what_the_transport_reads() -> None:
    source = inspect.getsource(Fetcher)
    for name in ("_client", "_records", "_check_crcs", "_retry_backoff", "_prefetch_backoff"):
        assert f"self.{name}" in source, f"aiokafka has moved Fetcher.{name}: adapt runtime/engine/transport.py"
    assert "type(res_or_error) is FetchResult" in source


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_all_records_arrive_once_in_order_in_few_events(broker: Broker, topic: str, codec: str) -> None:
    values = numbered(8000)
    produce(broker.bootstrap_servers, topic, values, **{"compression.type": codec})
    stage = stage_of(topic, keeps_columns=True)

    async def scenario() -> None:
        async with running(stage, kafka_settings(broker.bootstrap_servers)) as app:
            await until(lambda: stage.count >= len(values), what="all records", app=app)

    asyncio.run(scenario())
    for partition in range(4):
        assert stage.records[partition] == list(enumerate(values[partition::4]))
    assert len(stage.columns) < 100
    last = stage.columns[-1]
    assert last.next_offset == last.high_watermark == 2000
    assert last.key(len(last) - 1) == b"key-%d" % (7996 + last.partition)
    assert last.headers(len(last) - 1) == [("n", b"%d" % (7996 + last.partition))]


def test_a_partition_begins_inside_a_batch_where_the_stage_says(broker: Broker, topic: str) -> None:
    produce(broker.bootstrap_servers, topic, numbered(4000))
    stage = stage_of(topic, starts={0: 333, 1: 0, 2: 999, 3: 1000})

    async def scenario() -> None:
        async with running(stage, kafka_settings(broker.bootstrap_servers)) as app:
            await until(lambda: stage.count >= 667 + 1000 + 1, what="records from the offsets", app=app)
            produce(broker.bootstrap_servers, topic, [b"new"], partition=3)
            await until(lambda: stage.records.get(3), what="the new record", app=app)

    asyncio.run(scenario())
    assert stage.records[0][0][0] == 333
    assert stage.records[1][0][0] == 0
    assert stage.records[2] == [(999, numbered(4000)[3998])]
    assert stage.records[3] == [(1000, b"new")]


def test_a_second_run_goes_on_at_the_committed_offsets_and_only_there(broker: Broker, topic: str) -> None:
    settings = kafka_settings(broker.bootstrap_servers)
    produce(broker.bootstrap_servers, topic, numbered(400))

    async def run(stage: RecordingStage, count: int) -> None:
        async with running(stage, settings) as app:
            await until(lambda: stage.count >= count, what="records", app=app)

    first = stage_of(topic)
    asyncio.run(run(first, 400))
    produce(broker.bootstrap_servers, topic, numbered(40, 400))
    forgetful = stage_of(topic, commits_when_revoked=False)
    asyncio.run(run(forgetful, 40))
    third = stage_of(topic)
    asyncio.run(run(third, 40))
    assert first.calls == ["start", "assigned", "revoked", "stop"]
    assert sorted(forgetful.values) == sorted(third.values) == sorted(numbered(40, 400))


def test_a_paused_partition_waits_in_order_while_the_others_go_on(broker: Broker, topic: str) -> None:
    produce(broker.bootstrap_servers, topic, numbered(40))
    stage = stage_of(topic)

    async def scenario() -> None:
        async with running(stage, kafka_settings(broker.bootstrap_servers)) as app:
            await until(lambda: stage.count >= 40, what="the first records", app=app)
            stage.context.pause([1])
            produce(broker.bootstrap_servers, topic, numbered(4000, 40))
            await until(lambda: stage.count >= 40 + 3000, what="the other partitions", app=app)
            assert len(stage.records[1]) == 10
            produce(broker.bootstrap_servers, topic, numbered(4000, 4040))
            await until(lambda: stage.count >= 40 + 6000, what="the other partitions again", app=app)
            assert len(stage.records[1]) == 10
            stage.context.resume([1])
            await until(lambda: stage.count >= 8040, what="the paused partition", app=app)

    asyncio.run(scenario())
    assert stage.records[1] == list(enumerate(numbered(8040)[1::4]))


def test_a_worker_that_joins_and_leaves_moves_partitions_without_loss_or_disorder(broker: Broker, topic: str) -> None:
    settings = kafka_settings(broker.bootstrap_servers)
    first, second = stage_of(topic), stage_of(topic)
    batches = [numbered(4000, 4000 * i) for i in range(3)]

    def all_seen(n: int) -> Callable[[], bool]:
        return lambda: len(set(first.values) | set(second.values)) >= n

    async def scenario() -> None:
        async with running(first, settings) as app:
            produce(broker.bootstrap_servers, topic, batches[0])
            await until(all_seen(4000), what="records of one worker", app=app)
            async with running(second, settings) as other:
                await until(
                    lambda: second.assignments[-1:] and len(second.assignments[-1]) == 2, what="split", app=other
                )
                produce(broker.bootstrap_servers, topic, batches[1])
                await until(all_seen(8000), what="records of two workers", app=app)
            await until(lambda: len(first.assignments[-1]) == 4, what="all partitions back", app=app)
            produce(broker.bootstrap_servers, topic, batches[2])
            await until(all_seen(12000), what="records of one worker again", app=app)

    asyncio.run(scenario())
    expected = [value for batch in batches for value in batch]
    for partition in range(4):
        seen = [*first.records.get(partition, []), *second.records.get(partition, [])]
        assert sorted(seen) == list(enumerate(expected[partition::4]))
        for stage in (first, second):
            offsets = [offset for offset, _ in stage.records.get(partition, [])]
            assert offsets == sorted(offsets)


def test_two_stages_run_in_one_loop_each_with_its_own_group(broker: Broker, topic: str) -> None:
    other_topic = new_topic(broker)
    produce(broker.bootstrap_servers, topic, numbered(400))
    produce(broker.bootstrap_servers, other_topic, numbered(800))
    settings = kafka_settings(broker.bootstrap_servers)
    one = stage_of(topic)
    another = RecordingStage(source_topic=other_topic, group=f"cinnamon-another-{other_topic}")
    same_topic = RecordingStage(source_topic=topic, group=f"cinnamon-second-{topic}")

    async def scenario() -> None:
        async with running(one, settings), running(another, settings), running(same_topic, settings):
            await until(lambda: (one.count, another.count, same_topic.count) == (400, 800, 400), what="all records")

    asyncio.run(scenario())


@pytest.mark.real
def test_an_offset_that_is_gone_goes_on_at_the_earliest_with_a_loud_log(
    kafka_broker: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    broker = kafka_broker  # the embedded broker answers with nothing instead of an error
    topic = new_topic(broker)
    produce(broker.bootstrap_servers, topic, numbered(40))
    stage = stage_of(topic, starts={2: 5000})

    async def scenario() -> None:
        async with running(stage, kafka_settings(broker.bootstrap_servers)) as app:
            await until(lambda: stage.count >= 40, what="all records from the earliest", app=app)

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())
    assert [offset for offset, _ in stage.records[2]] == list(range(10))
    assert f"{topic}[2]: offset 5000 is not there any more" in caplog.text


def test_a_stage_that_fails_reports_it_once_and_is_not_called_again(broker: Broker, topic: str) -> None:
    def fail(_columns: RecordColumns) -> None:
        raise ValueError("a bug")

    stage = stage_of(topic, on_process=fail)
    produce(broker.bootstrap_servers, topic, numbered(40))

    async def scenario() -> list[BaseException]:
        async with running(stage, kafka_settings(broker.bootstrap_servers)) as app:
            await until(lambda: app.failures, what="the failure")
            ticks = stage.ticks
        assert stage.ticks == ticks
        return app.failures

    (failure,) = asyncio.run(scenario())
    assert repr(failure) == "ValueError('a bug')"
    assert stage.calls == ["start", "assigned"]


@pytest.mark.real
def test_a_broker_that_is_killed_and_comes_back_is_read_on(own_kafka_broker: KafkaBroker) -> None:
    broker = own_kafka_broker
    topic = new_topic(broker)
    stage = stage_of(topic)

    async def scenario() -> None:
        async with running(stage, kafka_settings(broker.bootstrap_servers)) as app:
            produce(broker.bootstrap_servers, topic, numbered(400))
            await until(lambda: stage.count >= 400, what="records", app=app)
            await stage.context.commit(stage.processed)
            await asyncio.to_thread(broker.kill)
            await asyncio.to_thread(broker.start)
            await asyncio.to_thread(produce, broker.bootstrap_servers, topic, numbered(400, 400))
            await until(lambda: len(set(stage.values)) >= 800, what="records after the restart", app=app)

    asyncio.run(scenario())
    assert set(stage.values) == set(numbered(800))

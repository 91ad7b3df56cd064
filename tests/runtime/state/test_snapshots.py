"""Snapshots on a real broker: written and found again, through kills, damage and a lost cache."""

import asyncio
import itertools
import logging
import os
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
from confluent_kafka import Producer

import topics
from pipeline.core.snapshots.codec import Manifest, manifest_to_bytes, manifests_of
from pipeline.core.snapshots.snapshot import Snapshot
from pipeline.factory import Settings
from pipeline.runtime.kafka.producer import RecordProducer
from pipeline.runtime.observability.metrics import Metrics
from pipeline.runtime.state.checkpoints import CheckpointReader
from pipeline.runtime.state.snapshots import SnapshotStore
from tests.support.runtime.stages import produce
from tests.support.runtime.summing_program import SERIES
from tests.support.runtime.worker_process import worker
from tests.support.servers.kafka import KafkaBroker
from tests.support.stages.brokers import Broker, pipeline_topics, read_topic
from tests.support.waiting import wait_until

_names = itertools.count()


@pytest.fixture(params=["embedded_broker", "kafka_broker"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """Each of the two, with the topics of checkpoints."""
    found: Broker = request.getfixturevalue(request.param)
    with pipeline_topics(found, names=(topics.CHECKPOINTS, topics.CHECKPOINT_BLOCKS)):
        yield found


@pytest.fixture
def real_broker(kafka_broker: KafkaBroker) -> Iterator[KafkaBroker]:
    """The real one, with the topics of checkpoints."""
    with pipeline_topics(kafka_broker, names=(topics.CHECKPOINTS, topics.CHECKPOINT_BLOCKS)):
        yield kafka_broker


@pytest.fixture
def stage() -> str:
    """A name that no other test has."""
    return f"stage-{os.getpid()}-{next(_names)}"


@asynccontextmanager
async def store_of(
    broker: Broker, stage: str, cache: Path | None = None, version: int = 1, **names: str
) -> AsyncIterator[SnapshotStore]:
    settings = Settings(
        kafka={"bootstrap_servers": broker.bootstrap_servers},
        worker={"checkpoint_dir": cache, "snapshot_interval_s": 0.01},
    )
    results = RecordProducer(settings.kafka)
    store = SnapshotStore(stage, version, settings, Metrics(), results=results, **names)
    try:
        yield store
    finally:
        await store.close()
        results.close(5.0)


def state_at(offset: int) -> Snapshot:
    """Return a state of about 3 MB: several blocks."""
    numbers = np.random.default_rng(offset).random((200_000, 2))
    return Snapshot(offset, {"note": b"at %d" % offset}, {"numbers": numbers, "counts": np.arange(offset % 50)})


def assert_same(found: Snapshot | None, want: Snapshot) -> None:
    assert found is not None
    assert (found.offset, found.records) == (want.offset, want.records)
    assert found.arrays.keys() == want.arrays.keys()
    for name, array in want.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)


async def saved(broker: Broker, stage: str, *offsets: int, cache: Path | None = None) -> None:
    """Write snapshots of partition 0, one after the other, as one owner."""
    async with store_of(broker, stage, cache) as store:
        await store.read([0])
        for offset in offsets:
            assert await store.save({0: state_at(offset)}, 60.0) == {0: offset}


async def found_in(broker: Broker, stage: str, *, cache: Path | None = None, version: int = 1) -> Snapshot | None:
    async with store_of(broker, stage, cache, version) as store:
        return (await store.read([0]))[0]


def test_the_newest_snapshot_is_found_again(broker: Broker, stage: str) -> None:
    asyncio.run(saved(broker, stage, 10, 20, 30))
    assert_same(asyncio.run(found_in(broker, stage)), state_at(30))


def test_what_is_saved_after_a_takeover_is_found_as_well(broker: Broker, stage: str) -> None:
    for offset in (10, 20, 30, 40):
        asyncio.run(saved(broker, stage, offset))
        assert_same(asyncio.run(found_in(broker, stage)), state_at(offset))


def test_a_partition_without_a_snapshot_begins_empty(broker: Broker, stage: str) -> None:
    assert asyncio.run(found_in(broker, stage)) is None


def test_a_snapshot_of_another_version_is_not_used(
    broker: Broker, stage: str, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.run(saved(broker, stage, 10))
    with caplog.at_level(logging.INFO):
        assert asyncio.run(found_in(broker, stage, version=2)) is None
    assert "is of version 1, known is 2" in caplog.text
    assert "its state is built anew from the log" in caplog.text


@pytest.mark.real
def test_the_cache_is_read_instead_of_the_blocks_and_a_damaged_one_is_not_believed(
    real_broker: Broker, stage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.run(saved(real_broker, stage, 10, 20, cache=tmp_path))
    newest, before = manifests_in(real_broker, stage)
    write_manifest(real_broker, lost(newest), before)
    assert_same(asyncio.run(found_in(real_broker, stage, cache=tmp_path)), state_at(20))
    (path,) = tmp_path.rglob(f"{newest.generation}.snapshot")
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(b"damage")
    assert_same(asyncio.run(found_in(real_broker, stage, cache=tmp_path)), state_at(10))
    assert "is not used, the snapshot is read from Kafka" in caplog.text


def test_blocks_that_are_damaged_lead_back_to_the_snapshot_before(
    broker: Broker, stage: str, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.run(saved(broker, stage, 10, 20))
    newest, before = manifests_in(broker, stage)
    assert (newest.offset, before.offset) == (20, 10)
    write_manifest(broker, damaged(newest), before)
    assert_same(asyncio.run(found_in(broker, stage)), state_at(10))
    assert "numbers/0 is damaged" in caplog.text
    write_manifest(broker, damaged(newest), damaged(before))
    # a record that compaction has not taken yet still leads to a whole one
    assert_same(asyncio.run(found_in(broker, stage)), state_at(10))


def manifests_in(broker: Broker, stage: str, topic: str = topics.CHECKPOINTS) -> list[Manifest]:
    reader = CheckpointReader(Settings(kafka={"bootstrap_servers": broker.bootstrap_servers}).kafka, topic)
    owner = f"{stage}/0"
    return manifests_of(reader.read_latest([owner], 30.0)[owner], owner)


def damaged(manifest: Manifest) -> Manifest:
    """Return a manifest of which one block is no longer what it was: as if it had changed on the broker's disk."""
    parts = [
        replace(part, blocks=(replace(part.blocks[0], digest=bytes(16)), *part.blocks[1:]))
        if part.name == "numbers"
        else part
        for part in manifest.parts
    ]
    return replace(manifest, parts=tuple(parts))


def write_manifest(broker: Broker, manifest: Manifest, previous: Manifest, topic: str = topics.CHECKPOINTS) -> None:
    write(broker, topic, {manifest.owner: manifest_to_bytes(manifest, previous)})


def lost(manifest: Manifest) -> Manifest:
    """Return a manifest whose blocks are not on the topic: as if somebody had deleted them."""
    parts = [
        replace(part, blocks=tuple(replace(block, offset=10**9) for block in part.blocks)) for part in manifest.parts
    ]
    return replace(manifest, parts=tuple(parts))


def write(broker: Broker, topic: str, records: Mapping[str, bytes | None]) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "partitioner": "fnv1a"})
    for key, value in records.items():
        producer.produce(topic, value, key.encode())
    assert producer.flush(30) == 0


@pytest.mark.real
def test_compaction_leaves_the_two_newest_snapshots_and_takes_what_older_ones_had(
    kafka_broker: KafkaBroker, stage: str
) -> None:
    often = {
        "cleanup.policy": "compact",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.001",
        "delete.retention.ms": "0",
    }
    names = {
        "topic": kafka_broker.create_topic(f"{stage}.manifests", config=often),
        "blocks_topic": kafka_broker.create_topic(f"{stage}.blocks", config=often),
    }

    async def save_five() -> None:
        async with store_of(kafka_broker, stage, **names) as store:
            await store.read([0])
            for offset in (10, 20, 30, 40, 50):
                assert await store.save({0: state_at(offset)}, 60.0) == {0: offset}

    async def found() -> Snapshot | None:
        async with store_of(kafka_broker, stage, **names) as store:
            return (await store.read([0]))[0]

    asyncio.run(save_five())
    newest, before = manifests_in(kafka_broker, stage, names["topic"])
    needed = {key.encode() for manifest in (newest, before) for key, _ in manifest.blocks()}

    def is_compacted() -> bool:
        """Begin new segments, of which the broker compacts all but the newest, and see whether it has."""
        produce(kafka_broker.bootstrap_servers, names["blocks_topic"], [b"filler"] * 8)
        produce(kafka_broker.bootstrap_servers, names["topic"], [b"filler"] * 8)
        left = {record.key for record in read_topic(kafka_broker, names["blocks_topic"]) if record.value != b"filler"}
        manifests = [
            record for record in read_topic(kafka_broker, names["topic"]) if record.key == f"{stage}/0".encode()
        ]
        return left == needed and len(manifests) == 1

    wait_until(is_compacted, timeout_s=120, what="the compaction of old snapshots", every_s=0.5)
    assert_same(asyncio.run(found()), state_at(50))
    write_manifest(kafka_broker, damaged(newest), before, names["topic"])
    assert_same(asyncio.run(found()), state_at(40))


@pytest.mark.real
def test_a_stage_that_is_killed_five_times_ends_with_the_same_state(
    real_broker: KafkaBroker, stage: str, tmp_path: Path
) -> None:
    r = random.Random(3)
    real_broker.create_topic(stage)
    moments = ["saved", "begun", "begun", "folded", "read"]
    r.shuffle(moments)
    want = np.zeros((4, SERIES))
    begun_at = []
    for run, moment in enumerate([*moments, "sums"]):
        numbers = [(r.randrange(SERIES), r.randrange(1000)) for _ in range(4000)]
        produce(real_broker.bootstrap_servers, stage, [b"%d %d" % pair for pair in numbers])
        for place, (series, number) in enumerate(numbers):
            want[place % 4, series] += number
        directory = tmp_path / f"run-{run}"
        directory.mkdir()
        # the end of the block kills it; each has a cache of its own, so what it finds comes from Kafka
        with worker(real_broker, stage, str(directory / "cache"), directory, "summing_program") as process:
            begun_at.append(orjson.loads(process.wait_for("read").partition(" ")[2]))
            line = process.wait_for(moment)
    sums = orjson.loads(line.partition(" ")[2])
    assert [sums[str(number)] for number in range(4)] == want.tolist()
    assert any(offset > 0 for offset in begun_at[-1].values())

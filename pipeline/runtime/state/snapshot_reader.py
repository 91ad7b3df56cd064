"""Finds the newest snapshot that is whole: its manifest on the topic of checkpoints, its blocks by their places."""

import logging
import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline.core.snapshots.chain import Generation, generations_of
from pipeline.core.snapshots.codec import (
    LARGEST_BLOCK_BYTES,
    Assembly,
    Manifest,
    SnapshotError,
    manifests_of,
)
from pipeline.core.snapshots.snapshot import Snapshot
from pipeline.runtime.kafka.clients import is_end, is_transient, new_consumer
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.kafka.topic_reader import TopicReader, TopicReadError
from pipeline.runtime.observability.metrics import Metrics
from pipeline.runtime.state.checkpoints import CheckpointReader, CheckpointReadError
from pipeline.runtime.state.snapshot_cache import SnapshotCache

logger = logging.getLogger(__name__)

OLDER_MANIFESTS: Final = 20
READ_RECORDS: Final = 100
READ_WAIT_S: Final = 0.1
SILENCE_TIMEOUT_S: Final = 30.0
SKIPPED_OFFSETS: Final = 32
"""A gap up to this is read over; a greater one is jumped."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was found for an owner.

    Parameters
    ----------
    snapshot
        The newest whole one, or None: the state is to be built anew.
    whole
        Its manifest, and the one before it where there is one.
    noted
        Which generations may have blocks, oldest first.
    """

    snapshot: Snapshot | None = None
    whole: tuple[Manifest, ...] = ()
    noted: tuple[Generation, ...] = ()


@dataclass(frozen=True, slots=True)
class _Topics:
    manifests: str
    blocks: str


class SnapshotReader:
    """Reads the snapshots of one stage; for threads that may wait.

    Parameters
    ----------
    kafka
        How to reach Kafka.
    stage, version
        Whose snapshots, and the version of the state that can be read.
    metrics
        Where snapshots that cannot be used are counted.
    cache
        Where blocks are looked for before they are read from Kafka.
    topic, blocks_topic
        Where manifests and blocks are.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        stage: str,
        version: int,
        metrics: Metrics,
        cache: SnapshotCache | None,
        *,
        topic: str,
        blocks_topic: str,
    ) -> None:
        self._kafka = kafka
        self._version = version
        self._unusable = {
            reason: metrics.unusable_snapshots.labels(stage, reason) for reason in ("manifest", "version", "blocks")
        }
        self._cache = cache
        self._topics = _Topics(topic, blocks_topic)
        self._checkpoints = CheckpointReader(kafka, topic)

    def read(self, owners: Collection[str], timeout_s: float) -> dict[str, Restored]:
        """Return what there is for each owner.

        Raises
        ------
        CheckpointReadError
            When a topic is missing, or Kafka does not answer: no state may be assumed.
        """
        keys = [key for owner in owners for key in (owner, generations_key(owner))]
        values = self._checkpoints.read_latest(keys, timeout_s)
        return {owner: self._read(owner, values.get(owner), values.get(generations_key(owner))) for owner in owners}

    def _read(self, owner: str, value: bytes | None, note: bytes | None) -> Restored:
        noted = self._noted(owner, note)
        if value is None:
            logger.info("%s has no snapshot: its state begins with the earliest record there is", owner)
            return Restored(noted=noted)
        found = self._newest_whole(owner, value)
        if found is None:
            for older in self._older_manifests(owner, value):
                found = self._newest_whole(owner, older)
                if found is not None:
                    break
        if found is None:
            logger.error("%s has no snapshot that can be used: its state is built anew from the log", owner)
            return Restored(noted=noted)
        snapshot, whole = found
        logger.info("%s goes on at offset %d with snapshot %s", owner, snapshot.offset, whole[0].generation)
        return Restored(snapshot, whole, noted)

    def _newest_whole(self, owner: str, value: bytes) -> tuple[Snapshot, tuple[Manifest, ...]] | None:
        """Return the snapshot of a manifest's record, or that before it."""
        try:
            manifests = manifests_of(value, owner)
        except SnapshotError as error:
            self._note_unusable("manifest", f"{owner}: {error}")
            return None
        for number, manifest in enumerate(manifests):
            name = f"{owner}: snapshot {manifest.generation} of offset {manifest.offset}"
            if manifest.version != self._version:
                self._note_unusable("version", f"{name} is of version {manifest.version}, known is {self._version}")
                continue
            try:
                return self._snapshot(manifest), tuple(manifests[number:])
            except SnapshotError as error:
                self._note_unusable("blocks", f"{name}: {error}")
        return None

    def _snapshot(self, manifest: Manifest) -> Snapshot:
        cached = None if self._cache is None else self._cache.read(manifest)
        if cached is not None:
            return cached
        assembly = Assembly(manifest)
        if assembly.missing:
            self._fetch(assembly)
        return assembly.snapshot()

    def _fetch(self, assembly: Assembly) -> None:
        _BlockReading(self._kafka, self._topics.blocks, assembly).run()

    def _older_manifests(self, owner: str, newest: bytes) -> list[bytes]:
        """Return the manifests' records that compaction has not taken yet, newest first."""
        key = owner.encode()
        found: deque[bytes] = deque(maxlen=OLDER_MANIFESTS)
        try:
            with TopicReader(self._kafka, SILENCE_TIMEOUT_S) as reader:
                for message in reader.read_all(self._topics.manifests):
                    value = message.value()
                    if message.key() == key and value is not None and value != newest:
                        found.append(value)
        except TopicReadError as error:
            raise CheckpointReadError(str(error)) from error
        return list(reversed(found))

    def _noted(self, owner: str, note: bytes | None) -> tuple[Generation, ...]:
        try:
            return () if note is None else tuple(generations_of(note, owner))
        except SnapshotError as error:
            logger.warning("%s: %s; blocks that it named may stay on the topic", owner, error)
            return ()

    def _note_unusable(self, reason: str, text: str) -> None:
        logger.error("%s", text)
        self._unusable[reason].inc()


def generations_key(owner: str) -> str:
    """Return the key of the note of which generations may have blocks."""
    return f"{owner}/generations"


@dataclass(slots=True)
class _BlockReading:
    """Reads an assembly's missing blocks where the manifest says they are."""

    kafka: KafkaSettings
    topic: str
    assembly: Assembly
    wanted: dict[int, deque[tuple[int, str]]] = field(default_factory=dict)

    def run(self) -> None:
        """Put what is found into the assembly.

        Raises
        ------
        SnapshotError
            When a block is not what it was.
        CheckpointReadError
            When the topic is missing, or Kafka does not answer.
        """
        for key, (block, _) in self.assembly.missing.items():
            self.wanted.setdefault(block.partition, deque()).append((block.offset, key))
        self.wanted = {partition: deque(sorted(places)) for partition, places in self.wanted.items()}
        options = {
            "auto.offset.reset": "latest",  # where retention or a new topic took a block, there is nothing to read
            "fetch.message.max.bytes": 2 * LARGEST_BLOCK_BYTES,
            "queued.max.messages.kbytes": 32 * 1024,
            "fetch.wait.max.ms": 50,
            "fetch.queue.backoff.ms": 10,
        }
        consumer = new_consumer(self.kafka, "snapshot-reader", options, logger=logger)
        try:
            self._check_topic(consumer)
            self._run(consumer)
        except KafkaException as error:
            raise CheckpointReadError(f"topic {self.topic}: {error.args[0].str()}") from error
        finally:
            consumer.close()

    def _check_topic(self, consumer: Consumer) -> None:
        found = consumer.list_topics(self.topic, timeout=SILENCE_TIMEOUT_S).topics[self.topic]
        if found.error is not None:
            hint = "" if found.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART else "; run `cinnamon topics apply`"
            raise CheckpointReadError(f"topic {self.topic}: {found.error.str()}{hint}")
        self.wanted = {partition: places for partition, places in self.wanted.items() if partition in found.partitions}

    def _run(self, consumer: Consumer) -> None:
        consumer.assign([TopicPartition(self.topic, each, places[0][0]) for each, places in self.wanted.items()])
        heard_s = time.monotonic()
        while self.wanted:
            messages = consumer.consume(READ_RECORDS, READ_WAIT_S)
            if any(message.error() is None or is_end(message.error()) for message in messages):
                heard_s = time.monotonic()
            elif time.monotonic() - heard_s > SILENCE_TIMEOUT_S:
                raise CheckpointReadError(f"topic {self.topic}: Kafka does not answer")
            for message in messages:
                self._take(consumer, message)

    def _take(self, consumer: Consumer, message: Message) -> None:
        partition, error, offset = message.partition(), message.error(), message.offset()
        if error is not None and not is_end(error):
            if is_transient(error):
                logger.warning("snapshots: %s; tried again", error.str())
                return
            raise KafkaException(error)
        if partition is None or offset is None or partition not in self.wanted:
            return
        places = self.wanted[partition]
        if error is not None:
            places.clear()  # the rest is not there
        while places and places[0][0] < offset:
            places.popleft()  # neither is this one
        if places and places[0][0] == offset:
            _, key = places.popleft()
            if message.key() == key.encode():
                self.assembly.put(key, message.value() or b"")
        if not places:
            del self.wanted[partition]
            consumer.incremental_unassign([TopicPartition(self.topic, partition)])
        elif places[0][0] - offset > SKIPPED_OFFSETS:
            consumer.seek(TopicPartition(self.topic, partition, places[0][0]))

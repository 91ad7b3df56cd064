"""Writes one snapshot: note, blocks, manifest, each acknowledged before the next; then deletes what is not needed."""

import logging
import threading
import time
from collections.abc import Collection, Sequence
from typing import Final

from pipeline.core.snapshots.chain import SnapshotChain
from pipeline.core.snapshots.codec import manifest_to_bytes
from pipeline.core.snapshots.snapshot import Piece
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.observability.metrics import Metrics
from pipeline.runtime.state.snapshot_cache import SnapshotCache
from pipeline.runtime.state.snapshot_log import SnapshotLog, SnapshotWriteError
from pipeline.runtime.state.snapshot_reader import generations_key

logger = logging.getLogger(__name__)

WRITE_TIMEOUT_S: Final = 300.0


class SnapshotWriter:
    """Writes the snapshots of one stage, one at a time; for a thread of its own.

    Parameters
    ----------
    kafka
        How to reach Kafka.
    stage, metrics
        Whose snapshots, and where they are counted.
    cache
        Where snapshots are kept beside Kafka.
    is_cancelled
        While this is set, what is being written is given up.
    topic, blocks_topic
        Where manifests and blocks go.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        stage: str,
        metrics: Metrics,
        cache: SnapshotCache | None,
        is_cancelled: threading.Event,
        *,
        topic: str,
        blocks_topic: str,
    ) -> None:
        self._kafka = kafka
        self._cache = cache
        self._is_cancelled = is_cancelled
        self._topic = topic
        self._blocks_topic = blocks_topic
        self._bytes = metrics.snapshot_bytes.labels(stage)
        self._written_bytes = metrics.snapshot_written_bytes.labels(stage)
        self._seconds = metrics.snapshot_seconds.labels(stage)
        self._failed = metrics.failed_snapshots.labels(stage)

    def write(self, chain: SnapshotChain, offset: int, pieces: Sequence[Piece]) -> bool:
        """Write a snapshot; return whether it is whole. What Kafka or the disk refuses is logged and counted.

        Raises
        ------
        ValueError
            When the state is too large for a manifest.
        """
        started_s = time.monotonic()
        log = SnapshotLog(self._kafka, WRITE_TIMEOUT_S, self._is_cancelled)
        try:
            self._write(log, chain, offset, pieces)
        except SnapshotWriteError as error:
            logger.warning("%s: no snapshot of offset %d, the one before it stays: %s", chain.owner, offset, error)
            self._failed.inc()
            return False
        finally:
            log.close()
        self._seconds.observe(time.monotonic() - started_s)
        return True

    def _write(self, log: SnapshotLog, chain: SnapshotChain, offset: int, pieces: Sequence[Piece]) -> None:
        self._delete(log, chain, chain.strays())
        draft = chain.begin(offset, pieces)
        log.put(self._topic, generations_key(chain.owner), chain.note())
        log.flush()
        for key, data in chain.changed_blocks(draft):
            log.put(self._blocks_topic, key, data)
            self._written_bytes.inc(len(data))
        manifest, previous = chain.manifest(draft, log.flush())
        log.put(self._topic, chain.owner, manifest_to_bytes(manifest, previous))
        log.flush()
        self._bytes.set(manifest.size)
        dead = chain.finished(manifest)
        if self._cache is not None:
            self._cache.write(manifest, pieces)
        try:
            self._delete(log, chain, dead)
        except SnapshotWriteError as error:
            logger.warning("%s: blocks of older snapshots are deleted later: %s", chain.owner, error)

    def _delete(self, log: SnapshotLog, chain: SnapshotChain, keys: Collection[str]) -> None:
        for key in keys:
            log.put(self._blocks_topic, key, None)
        log.flush()
        chain.deleted(keys)

"""The partitions of a stage whose state is in snapshots: restored, saved while it goes on, released."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final, Generic, Protocol, TypeVar

from pipeline.runtime.engine.stage import StageContext
from pipeline.runtime.kafka.producer import RecordProducer
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.kafka.topic_identity import topic_id
from pipeline.runtime.observability.metrics import Metrics
from pipeline.runtime.state.snapshots import Snapshot, SnapshotStore
from pipeline.settings.model import Settings

logger = logging.getLogger(__name__)

READ_TIMEOUT_S: Final = 30.0
_LOG_ID: Final = "log-id"
"""The record of a snapshot that says which log its offset is of."""


class Saved(Protocol):
    """What a stage knows of one partition."""

    next_offset: int

    def snapshot(self) -> Snapshot:
        """Return its state as it is now."""
        ...


P = TypeVar("P", bound=Saved)


class SavedPartitions(Generic[P]):
    """What a stage knows of its partitions, by number, and the snapshots of it.

    Offsets are committed only where a whole snapshot covers them: a worker that is killed is followed by one that does
    the rest again.

    Parameters
    ----------
    stage, topic
        Whose partitions, and of which topic.
    version
        Of the state: a snapshot of another version is not used.
    settings, metrics
        Of the process.
    make
        Gives what is known of a partition by a snapshot, or without one by nothing. ValueError: the snapshot cannot be
        used; then it is called without.
    results
        What the stage produces its results with.
    interval_s
        Seconds between two snapshots of a partition; none: ``worker.snapshot_interval_s``.
    """

    def __init__(
        self,
        stage: str,
        topic: str,
        version: int,
        settings: Settings,
        metrics: Metrics,
        make: Callable[[int, Snapshot | None], P],
        *,
        results: RecordProducer,
        interval_s: float | None = None,
    ) -> None:
        self._stage = stage
        self._topic = topic
        self._kafka = settings[KafkaSettings]
        self._make = make
        self._store = SnapshotStore(stage, version, settings, metrics, results=results, interval_s=interval_s)
        self._unusable = metrics.unusable_snapshots.labels(stage, "content")
        self._age_seconds = metrics.checkpoint_age_seconds
        self._log_id = ""
        self._partitions: dict[int, P] = {}
        self._saved_s: dict[int, float] = {}

    def __getitem__(self, number: int) -> P:
        return self._partitions[number]

    def __iter__(self) -> Iterator[tuple[int, P]]:
        return iter(self._partitions.items())

    async def restore(self, numbers: frozenset[int]) -> Mapping[int, int]:
        """Restore partitions, and return the offsets to begin at; what was known of any before is void.

        Without a snapshot that can be used a partition begins with the earliest record that Kafka has.

        Raises
        ------
        CheckpointReadError, TopicIdentityError
            When Kafka does not answer: no state may be assumed.
        """
        self._log_id = await asyncio.to_thread(topic_id, self._kafka, self._topic, READ_TIMEOUT_S)
        found = await self._store.read(numbers)
        self._partitions = {number: self._restored(number, snapshot) for number, snapshot in found.items()}
        self._saved_s = dict.fromkeys(self._partitions, time.monotonic())
        return {number: partition.next_offset for number, partition in self}

    async def release(self, context: StageContext | None) -> None:
        """Save where the partitions stand as far as the time allows, commit that, and let them go."""
        try:
            covered = await self._store.save({number: self._snapshot(partition) for number, partition in self})
            if covered and context is not None:
                await context.commit(covered)
        finally:
            self._partitions = {}

    async def save(self, context: StageContext | None) -> None:
        """Commit what snapshots cover by now, and begin the next one that is due."""
        if covered := self._store.saved():
            self._saved_s |= dict.fromkeys(covered.keys() & self._partitions.keys(), time.monotonic())
            if context is not None:
                await context.commit(covered)
        due = self._store.due({number: partition.next_offset for number, partition in self})
        if due is not None:
            await self._store.begin(due, self._snapshot(self._partitions[due]))
        for number in self._partitions:
            age_s = time.monotonic() - self._saved_s[number]
            self._age_seconds.labels(self._stage, self._topic, str(number)).set(age_s)

    def outdate(self, number: int) -> None:
        """Note that a state has changed without a record: it is saved again although its offset has not moved."""
        self._store.outdate(number)

    async def close(self) -> None:
        """Give up what is being saved, and end the threads."""
        await self._store.close()

    def _restored(self, number: int, snapshot: Snapshot | None) -> P:
        if snapshot is not None:
            try:
                return self._make(number, self._of_this_log(snapshot))
            except ValueError as error:
                self._unusable.inc()
                logger.error(  # noqa: TRY400 - the message says it all
                    "partition %d: %s; it begins anew with the earliest record there is", number, error
                )
        return self._make(number, None)

    def _of_this_log(self, snapshot: Snapshot) -> Snapshot:
        """Return a snapshot without its log's id; ValueError if its offset is one of a topic that is gone."""
        records = dict(snapshot.records)
        log_id = records.pop(_LOG_ID, b"").decode("utf-8", "replace")
        if log_id and self._log_id and log_id != self._log_id:
            raise ValueError(f"{self._topic} was made anew since the snapshot")
        return replace(snapshot, records=records)

    def _snapshot(self, partition: P) -> Snapshot:
        snapshot = partition.snapshot()
        return replace(snapshot, records={**snapshot.records, _LOG_ID: self._log_id.encode()})

"""What stages have in common whose state is one snapshot a partition: their clients, and their life."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final, Generic

from pipeline.runtime.engine.stage import StageContext
from pipeline.runtime.kafka.policy_table import Parse, PolicyTable
from pipeline.runtime.kafka.producer import RecordProducer
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.observability.metrics import Metrics
from pipeline.runtime.state.snapshots import Snapshot
from pipeline.settings.model import Settings
from pipeline.stages.dead_letters import DeadLetterWriter
from pipeline.stages.saved_partitions import READ_TIMEOUT_S, P, SavedPartitions
from pipeline.stages.spec import Group

CLOSE_TIMEOUT_S: Final = 5.0


class PartitionedStage(ABC, Generic[P]):
    """A stage that restarts each partition from its snapshot; it says what a partition is, takes records and ticks.

    Parameters
    ----------
    group
        The stage's name, and the topic that it reads.
    version
        Of the state: a snapshot of another version is not used.
    settings, metrics
        Of the process.
    interval_s
        Seconds between two snapshots of a partition; none: ``worker.snapshot_interval_s``.
    """

    def __init__(
        self, group: Group, version: int, settings: Settings, metrics: Metrics, *, interval_s: float | None = None
    ) -> None:
        self.name, self.source_topic = group
        self._kafka = settings[KafkaSettings]
        self.group = self._kafka.group(group.name)
        self._common = metrics
        self._producer = RecordProducer(self._kafka)
        self._dead_letters = DeadLetterWriter(self.name, self.source_topic, self._producer, metrics)
        self._partitions: SavedPartitions[P] = SavedPartitions(
            self.name,
            self.source_topic,
            version,
            settings,
            metrics,
            self._partition,
            results=self._producer,
            interval_s=interval_s,
        )
        self._tables: list[PolicyTable] = []
        self._context: StageContext | None = None

    @abstractmethod
    def _partition(self, number: int, snapshot: Snapshot | None) -> P:
        """Return what is known of a partition by its snapshot; without one, of the earliest record that Kafka has.

        Raises
        ------
        ValueError
            If the snapshot cannot be used; then it is called without.
        """

    def _following(self, kinds: Mapping[str, Parse]) -> PolicyTable:
        """Return a table of the policies of some kinds, which is filled before the stage begins."""
        table = PolicyTable(self._kafka, self._common, self.name, kinds)
        self._tables.append(table)
        return table

    async def start(self, context: StageContext) -> None:
        """Keep the runtime's context, and read all policies before anything else."""
        self._context = context
        for table in self._tables:
            await asyncio.to_thread(table.start, READ_TIMEOUT_S)

    async def assigned(self, partitions: frozenset[int]) -> Mapping[int, int]:
        """Restore partitions from their snapshots; without one, from the earliest record that Kafka has."""
        return await self._partitions.restore(partitions)

    async def revoked(self, _partitions: frozenset[int]) -> None:
        """Save where the partitions stand, and release them."""
        await self._partitions.release(self._context)

    async def stop(self) -> None:
        """Close the connections."""
        for table in self._tables:
            await asyncio.to_thread(table.close)
        await self._partitions.close()
        await asyncio.to_thread(self._producer.close, CLOSE_TIMEOUT_S)

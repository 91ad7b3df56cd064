"""What a stage is to the runtime, and what the runtime offers a stage."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from pipeline.core.records.kafka.columns import RecordColumns


class StageContext(Protocol):
    """What the runtime does for a running stage; for the stage's own calls only."""

    async def commit(self, offsets: Mapping[int, int]) -> bool:
        """Commit finished work.

        Parameters
        ----------
        offsets
            For each partition the offset to go on at: one more than the last finished record's.

        Returns
        -------
        bool
            False when the broker did not take it (it does not answer, or the group rebalances): commit again later,
            the work stays done or is done again.
        """
        ...

    def pause(self, partitions: Iterable[int]) -> None:
        """Hand out no more records of these partitions; what is fetched already waits, in order."""
        ...

    def resume(self, partitions: Iterable[int]) -> None:
        """Hand out records of paused partitions again, from the next tick on."""
        ...

    def waiting_records(self, partition: int) -> int | None:
        """Return how many records (about: offsets) of a partition wait for the stage; None when not known."""
        ...

    def owns_partitions(self) -> bool:
        """Return whether the partitions are surely still this worker's; any thread may ask.

        It is false after a revocation, and when no heartbeat was heard for as long as a session lasts: the process
        stood still, or the broker is away.
        """
        ...


class Stage(Protocol):
    """One box of the pipeline. The runtime calls its methods one at a time: none overlaps another.

    An exception from any of them is a bug and ends the process with status 1: bad input and sinks that are down are the
    stage's own business.
    """

    @property
    def name(self) -> str:
        """The stage's name in logs and metrics."""
        ...

    @property
    def group(self) -> str:
        """The consumer group."""
        ...

    @property
    def source_topic(self) -> str:
        """The topic that it reads."""
        ...

    async def start(self, context: StageContext) -> None:
        """Get ready; called once, before all others."""
        ...

    async def assigned(self, partitions: frozenset[int]) -> Mapping[int, int]:
        """Take over partitions; what was known of any partition before is void.

        Parameters
        ----------
        partitions
            All partitions that the stage has from now on.

        Returns
        -------
        Mapping
            Offsets to begin at. A partition that is missing begins at its committed offset, or else at the earliest.
        """
        ...

    async def revoked(self, partitions: frozenset[int]) -> None:
        """Release all partitions: finish, flush, checkpoint and commit.

        It is cancelled after a share of the session time-out, and must then commit nothing.
        """
        ...

    async def process(self, columns: RecordColumns) -> None:
        """Take the next records of a partition, in order; may be none, with `next_offset` moved on."""
        ...

    async def tick(self, now_ms: int) -> None:
        """Do what is due by the wall clock (UTC milliseconds); called about five times a second."""
        ...

    async def stop(self) -> None:
        """Let go of connections; called once, after the last `revoked`."""
        ...

"""A stage that remembers what it is given, and how to run it for a test."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Producer

from pipeline.core.records.kafka.columns import RecordColumns
from pipeline.factory import Settings
from pipeline.runtime.engine.app import StageApp, build_app
from pipeline.runtime.engine.stage import StageContext

SESSION_TIMEOUT_S = 6.0  # the shortest that a real broker allows


@dataclass
class RecordingStage:
    """Remembers records and calls; begins where `starts` says; commits what it processed when it is revoked."""

    source_topic: str
    group: str
    name: str = "recording"
    starts: dict[int, int] = field(default_factory=dict)
    commits_when_revoked: bool = True
    records: dict[int, list[tuple[int, bytes | None]]] = field(default_factory=dict)
    columns: list[RecordColumns] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    assignments: list[frozenset[int]] = field(default_factory=list)
    processed: dict[int, int] = field(default_factory=dict)
    ticks: int = 0
    keeps_columns: bool = False
    on_process: Callable[[RecordColumns], None] = lambda _columns: None
    _busy: bool = False

    async def start(self, context: StageContext) -> None:
        self.context = context
        self.calls.append("start")

    async def assigned(self, partitions: frozenset[int]) -> Mapping[int, int]:
        await self._alone()
        self.calls.append("assigned")
        self.assignments.append(partitions)
        self.processed = {}
        return {partition: offset for partition, offset in self.starts.items() if partition in partitions}

    async def revoked(self, _partitions: frozenset[int]) -> None:
        await self._alone()
        self.calls.append("revoked")
        if self.commits_when_revoked and self.processed:
            await self.context.commit(self.processed)

    async def process(self, columns: RecordColumns) -> None:
        await self._alone()
        self.on_process(columns)
        if self.keeps_columns:
            self.columns.append(columns)
        taken = self.records.setdefault(columns.partition, [])
        taken += [(int(offset), columns.value(i)) for i, offset in enumerate(columns.offset)]
        self.processed[columns.partition] = columns.next_offset

    async def tick(self, _now_ms: int) -> None:
        await self._alone()
        self.ticks += 1

    async def stop(self) -> None:
        self.calls.append("stop")

    @property
    def count(self) -> int:
        return sum(map(len, self.records.values()))

    @property
    def values(self) -> list[bytes | None]:
        return [value for partition in sorted(self.records) for _, value in self.records[partition]]

    async def _alone(self) -> None:
        """Give way to other calls; one that comes now overlaps."""
        assert not self._busy, "two calls of the stage overlap"
        self._busy = True
        await asyncio.sleep(0)
        self._busy = False


def kafka_settings(bootstrap_servers: str, **kafka: Any) -> Settings:
    options = {"bootstrap_servers": bootstrap_servers, "session_timeout_s": SESSION_TIMEOUT_S, **kafka}
    return Settings(kafka=options, worker={"web_port": 0})


def produce(
    bootstrap_servers: str, topic: str, values: list[bytes], *, partition: int | None = None, **options: Any
) -> None:
    """Produce values and wait until they are acknowledged; without a partition value i goes to partition i mod 4."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 20, **options})
    for i, value in enumerate(values):
        where = i % 4 if partition is None else partition
        producer.produce(topic, value, b"key-%d" % i, where, headers=[("n", b"%d" % i)])
    assert producer.flush(60) == 0


@asynccontextmanager
async def running(stage: RecordingStage, settings: Settings) -> AsyncIterator[StageApp]:
    """Run a stage; a failure of it ends the test at the next `until`."""
    failures: list[BaseException] = []
    app = build_app(stage, settings, failures.append)
    app.failures = failures
    await app.start()
    try:
        yield app
    finally:
        await app.stop()


async def until(
    condition: Callable[[], Any], *, timeout_s: float = 25.0, what: str, app: StageApp | None = None
) -> None:
    """Wait for a condition.

    Raises
    ------
    TimeoutError
        When the deadline passed before it held.
    """
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if app is not None and app.failures:
            raise AssertionError(f"{what}: the stage failed") from app.failures[0]
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        await asyncio.sleep(0.02)

"""A worker whose stage keeps sums in snapshots, as a process of its own: `summing_program BOOTSTRAP TOPIC DIRECTORY`.

Every record's value is `SERIES NUMBER`. It prints what happens, one line each: `port N`, `read JSON` (where its
snapshots led back to by partition, -1 for none), `folded N` records by this process, `begun N` and `saved OFFSETS` for
snapshots that were begun and that became whole, and when it has come to the end of all partitions `sums JSON`.
"""

import sys
from collections.abc import Mapping

import numpy as np
import orjson

from pipeline.core.records.kafka.columns import RecordColumns
from pipeline.factory import Settings
from pipeline.runtime.engine.stage import StageContext
from pipeline.runtime.engine.worker import run_worker
from pipeline.runtime.kafka.producer import RecordProducer
from pipeline.runtime.observability.metrics import Metrics
from pipeline.runtime.state.snapshots import Snapshot, SnapshotStore

SERIES = 500
NUMBERS_A_SERIES = 400
"""So that a state is more than one block."""


def say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201  what this program is for


class Sums:
    """One partition's state: each series' numbers go round in its row."""

    def __init__(self, snapshot: Snapshot | None) -> None:
        self.next_offset = 0 if snapshot is None else snapshot.offset
        self.end = -1
        if snapshot is None:
            self.counts = np.zeros(SERIES, np.int64)
            self.sums = np.zeros((SERIES, NUMBERS_A_SERIES))
        else:
            assert snapshot.records == {"kind": b"sums"}
            self.counts, self.sums = snapshot.arrays["counts"], snapshot.arrays["sums"]

    def take(self, value: bytes) -> None:
        series, number = map(int, value.split())
        self.sums[series, self.counts[series] % NUMBERS_A_SERIES] += number
        self.counts[series] += 1

    def snapshot(self) -> Snapshot:
        return Snapshot(self.next_offset, {"kind": b"sums"}, {"counts": self.counts, "sums": self.sums})


class SummingStage:
    """Sums numbers by series."""

    name = "summing"

    def __init__(self, topic: str, settings: Settings, metrics: Metrics) -> None:
        self.source_topic = topic
        self.group = f"cinnamon-{topic}"
        self._producer = RecordProducer(settings.kafka)
        self._snapshots = SnapshotStore(topic, 1, settings, metrics, results=self._producer)
        self._states: dict[int, Sums] = {}
        self._folded = 0

    async def start(self, context: StageContext) -> None:
        self._context = context

    async def assigned(self, partitions: frozenset[int]) -> Mapping[int, int]:
        found = await self._snapshots.read(partitions)
        begin = {str(number): -1 if snapshot is None else snapshot.offset for number, snapshot in found.items()}
        say("read", orjson.dumps(begin).decode())
        self._states = {number: Sums(snapshot) for number, snapshot in found.items()}
        return {number: state.next_offset for number, state in self._states.items()}

    async def process(self, columns: RecordColumns) -> None:
        state = self._states[columns.partition]
        for i in range(len(columns)):
            state.take(columns.value(i) or b"")
        state.next_offset, state.end = columns.next_offset, columns.high_watermark
        self._folded += len(columns)
        say("folded", self._folded)
        if all(each.next_offset == each.end for each in self._states.values()):
            sums = {str(number): each.sums.sum(axis=1).tolist() for number, each in self._states.items()}
            say("sums", orjson.dumps(sums).decode())

    async def tick(self, _now_ms: int) -> None:
        if covered := self._snapshots.saved():
            say("saved", covered)
            await self._context.commit(covered)
        number = self._snapshots.due({number: state.next_offset for number, state in self._states.items()})
        if number is not None and await self._snapshots.begin(number, self._states[number].snapshot()):
            say("begun", number)

    async def revoked(self, _partitions: frozenset[int]) -> None:
        snapshots = {number: state.snapshot() for number, state in self._states.items()}
        await self._context.commit(await self._snapshots.save(snapshots))

    async def stop(self) -> None:
        await self._snapshots.close()
        self._producer.close(5.0)


def main() -> int:
    bootstrap_servers, topic, directory = sys.argv[1:]
    settings = Settings(
        kafka={"bootstrap_servers": bootstrap_servers, "session_timeout_s": 6.0, "fetch_max_bytes": 2048},
        worker={"web_port": 0, "snapshot_interval_s": 0.1, "checkpoint_dir": directory},
    )
    metrics = Metrics()
    stage = SummingStage(topic, settings, metrics)
    return run_worker([stage], settings, metrics, on_web_port=lambda port: say("port", port))


if __name__ == "__main__":
    sys.exit(main())

"""How long a stage stands still for a snapshot of its state, and how fast that is written, on a real Kafka broker.

The stage folds batches into its arrays as fast as it can while snapshots are written in the background; a beat every
millisecond in the same event loop shows the longest time that nothing else could run.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import topics
from bench.broker import Broker, kafka
from pipeline.core.snapshots.snapshot import Snapshot
from pipeline.factory import Settings
from pipeline.runtime.engine.worker import keep_freed_memory
from pipeline.runtime.kafka.producer import RecordProducer
from pipeline.runtime.observability.metrics import Metrics
from pipeline.runtime.state.snapshots import SnapshotStore

STAGE = "bench"
BATCH_ROWS = 5000
BEAT_S = 0.001


class State:
    """What a detector may keep: a row of doubles a series."""

    def __init__(self, series: int, bytes_a_series: int) -> None:
        self.numbers = np.random.default_rng(1).random((series, bytes_a_series // 8))
        self.folded = 0

    def fold(self, rows: np.ndarray) -> None:
        """Take a batch: one sample of each of these series."""
        self.numbers[rows, :8] += 1.0
        self.folded += len(rows)

    def snapshot(self) -> Snapshot:
        """Return the state as it is."""
        return Snapshot(self.folded, {"kind": b"bench"}, {"numbers": self.numbers})


async def fold_until(state: State, done: asyncio.Event) -> float:
    """Fold batches until ``done``, giving way after each; return the samples a second."""
    r = np.random.default_rng(2)
    begun_s, begun = time.monotonic(), state.folded
    while not done.is_set():
        state.fold(r.integers(0, len(state.numbers), BATCH_ROWS))
        await asyncio.sleep(0)
    return (state.folded - begun) / (time.monotonic() - begun_s)


async def longest_gap_s(done: asyncio.Event) -> float:
    """Return the longest time between two beats of the loop until ``done``."""
    longest, last_s = 0.0, time.monotonic()
    while not done.is_set():
        await asyncio.sleep(BEAT_S)
        now_s = time.monotonic()
        longest, last_s = max(longest, now_s - last_s), now_s
    return longest


async def measured(store: SnapshotStore, state: State, *, snapshots: int) -> list[tuple[float, float, float, float]]:
    """Return for each snapshot: stall, longest gap and duration in seconds, and samples folded a second meanwhile."""
    found = []
    for _ in range(snapshots):
        while not await store.begin(0, state.snapshot()):  # noqa: ASYNC110  room is being made, before the first
            await asyncio.sleep(BEAT_S)
        await finished(store)
        state.fold(np.arange(len(state.numbers)))
        done = asyncio.Event()
        others = asyncio.gather(fold_until(state, done), longest_gap_s(done))
        await asyncio.sleep(0.1)
        begun_s = time.monotonic()
        if not await store.begin(0, state.snapshot()):
            raise RuntimeError("a snapshot did not begin")
        stall_s = time.monotonic() - begun_s
        await finished(store)
        duration_s = time.monotonic() - begun_s
        done.set()
        rate, gap_s = await others
        found.append((stall_s, gap_s, duration_s, rate))
    return found


async def finished(store: SnapshotStore) -> None:
    """Wait until the snapshot that was begun is whole."""
    while not store.saved():  # noqa: ASYNC110  the stage asks so, tick after tick
        await asyncio.sleep(BEAT_S)


async def run(broker: Broker, arguments: argparse.Namespace) -> None:
    """Measure, and print a table."""
    settings = Settings(kafka={"bootstrap_servers": broker.bootstrap_servers})
    results = RecordProducer(settings.kafka)
    store = SnapshotStore(STAGE, 1, settings, Metrics(), results=results)
    await store.read([0])
    state = State(arguments.series, arguments.bytes)
    idle = asyncio.Event()
    asyncio.get_running_loop().call_later(2.0, idle.set)
    alone = await fold_until(state, idle)
    rows = await measured(store, state, snapshots=arguments.snapshots)
    begun_s = time.monotonic()
    found = (await store.read([0]))[0]
    restore_s = time.monotonic() - begun_s
    if found is None or found.offset == 0:
        raise RuntimeError("the snapshot that was written is not found")
    await store.close()
    results.close(5.0)
    size_mb = state.numbers.nbytes / 1e6
    table = Table(title=f"{arguments.series:,} series of {arguments.bytes:,} bytes: {size_mb:.0f} MB")
    for column in ("", "median", "greatest"):
        table.add_column(column, justify="right")
    stalls, gaps, durations, rates = zip(*rows, strict=True)
    for name, values in (("stall, ms", stalls), ("longest gap of the loop, ms", gaps), ("written in, s", durations)):
        scale = 1 if name.endswith(" s") else 1000
        table.add_row(name, f"{scale * statistics.median(values):.1f}", f"{scale * max(values):.1f}")
    Console().print(table)
    Console().print(f"samples folded a second: {alone:,.0f} alone, {min(rates):,.0f} while a snapshot is written")
    Console().print(f"restored in {restore_s:.1f} s")


def main() -> None:
    """Parse the arguments, start a broker, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=4096, help="state of a series")
    parser.add_argument("--snapshots", type=int, default=5)
    arguments = parser.parse_args()
    keep_freed_memory()  # as a worker does
    with tempfile.TemporaryDirectory("-snapshots") as directory, kafka(Path(directory)) as broker:
        compacted = {"cleanup.policy": "compact"}
        broker.create_topics({topics.CHECKPOINTS: compacted, topics.CHECKPOINT_BLOCKS: compacted})
        asyncio.run(run(broker, arguments))


if __name__ == "__main__":
    main()

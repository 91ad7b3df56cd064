"""A worker with one stage, as a process of its own: `worker_program BOOTSTRAP TOPIC MODE`.

It prints what happens, one line each: `port N`, `count N`, `revoked`, `cancelled`, `committed True`, `stopped`.
"""

import asyncio
import sys
import time
from collections.abc import Mapping

from pipeline.core.records.kafka.columns import RecordColumns
from pipeline.factory import Settings
from pipeline.runtime.engine.stage import StageContext
from pipeline.runtime.engine.worker import run_worker
from pipeline.runtime.observability.metrics import Metrics


def say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201  what this program is for


class CountingStage:
    """Counts records; fails or blocks as the mode says when it sees `poison`."""

    name = "counting"

    def __init__(self, topic: str, mode: str) -> None:
        self.source_topic = topic
        self.group = f"cinnamon-{topic}"
        self.mode = mode
        self.count = 0
        self.next_offsets: dict[int, int] = {}

    async def start(self, context: StageContext) -> None:
        self.context = context

    async def assigned(self, _partitions: frozenset[int]) -> Mapping[int, int]:
        self.next_offsets = {}
        return {}

    async def revoked(self, _partitions: frozenset[int]) -> None:
        say("revoked")
        if self.mode == "slow-revoke":
            await self._cancelled()
        if self.next_offsets:
            say("committed", await self.context.commit(self.next_offsets))

    async def process(self, columns: RecordColumns) -> None:
        values = [columns.value(i) for i in range(len(columns))]
        if b"poison" in values:
            self._fail()
        self.count += len(columns)
        self.next_offsets[columns.partition] = columns.next_offset
        say("count", self.count)

    def _fail(self) -> None:
        """Fail in the way of the mode."""
        if self.mode == "crash":
            raise ValueError("a bug in the stage")
        if self.mode == "cancel":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        if self.mode == "break-fetcher":
            consumer = self.context._consumer._thread._consumer
            consumer._fetcher._get_actions_per_node = None

    async def _cancelled(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            say("cancelled")
            raise

    async def tick(self, _now_ms: int) -> None:
        if self.mode == "hang":
            say("hanging")
            await asyncio.Event().wait()

    async def stop(self) -> None:
        say("stopped")


def main() -> int:
    bootstrap_servers, topic, mode = sys.argv[1:]
    settings = Settings(
        kafka={"bootstrap_servers": bootstrap_servers, "session_timeout_s": 6.0},
        worker={"web_port": 0, "log_format": "json", "stalled_after_s": 2.0},
    )
    started_s = time.monotonic()
    status = run_worker([CountingStage(topic, mode)], settings, Metrics(), on_web_port=lambda port: say("port", port))
    say("status", status, round(time.monotonic() - started_s, 1))
    return status


if __name__ == "__main__":
    sys.exit(main())

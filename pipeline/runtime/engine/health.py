"""Whether a worker is alive and ready, from the progress of each partition."""

import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pipeline.runtime.engine.runner import StageRunner
from pipeline.runtime.observability.metrics import Metrics

CAUGHT_UP_RECORDS: Final = 100_000
"""A partition this far behind is still ready: one or two fetches."""


class Health:
    """What `/healthz` and `/readyz` answer.

    Parameters
    ----------
    runners
        The stages of the process.
    metrics
        Where lag and pauses are shown.
    stalled_after_s
        A partition with input waiting, that is not paused, may stand still as long, and a call of a stage may last.
    """

    def __init__(self, runners: Iterable[StageRunner], metrics: Metrics, stalled_after_s: float) -> None:
        self._runners = tuple(runners)
        self._metrics = metrics
        self._stalled_after_s = stalled_after_s

    def alive(self) -> tuple[bool, dict[str, Any]]:
        """Return whether every partition with input waiting makes progress and every stage returns; which do not."""
        now_s = time.monotonic()
        stalled = [
            partition
            for partition in self._partitions(now_s)
            if partition["waiting_records"] and not partition["paused"] and partition["idle_s"] > self._stalled_after_s
        ]
        stalled += [call for call in self._calls(now_s) if call["call_s"] > self._stalled_after_s]
        return not stalled, {"status": "stalled" if stalled else "alive", "stalled": stalled}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Return whether every stage has its assignment and has caught up, and which has not."""
        joining = [runner.stage.name for runner in self._runners if not runner.is_assigned]
        behind = [
            partition
            for partition in self._partitions(time.monotonic())
            if partition["waiting_records"] is None or partition["waiting_records"] > CAUGHT_UP_RECORDS
        ]
        is_ready = not joining and not behind
        return is_ready, {"status": "ready" if is_ready else "not ready", "joining": joining, "behind": behind}

    def update_metrics(self) -> None:
        """Set the lag and pause of each partition, and forget those that are another worker's now."""
        for runner in self._runners:
            stage, topic = runner.stage.name, runner.stage.source_topic
            mine = frozenset(runner.progress)
            self._metrics.forget_partitions(stage, topic, self._metrics.shown_partitions(stage, topic) - mine)
            for partition, progress in runner.progress.items():
                labels = (stage, topic, str(partition))
                self._metrics.lag_records.labels(*labels).set(runner.waiting_records(partition) or 0)
                self._metrics.paused_partitions.labels(*labels).set(progress.is_paused)

    def _calls(self, now_s: float) -> Iterator[dict[str, Any]]:
        """Yield the calls under way, but those of a stage that waits for its sink and has said so."""
        for runner in self._runners:
            call = runner.call
            is_waiting = any(progress.is_paused for progress in runner.progress.values())
            if call is not None and not is_waiting:
                yield {"stage": runner.stage.name, "call": call.name, "call_s": round(now_s - call.begun_s, 1)}

    def _partitions(self, now_s: float) -> Iterator[dict[str, Any]]:
        for runner in self._runners:
            for partition, progress in runner.progress.items():
                yield {
                    "stage": runner.stage.name,
                    "topic": runner.stage.source_topic,
                    "partition": partition,
                    "next_offset": progress.next_offset,
                    "waiting_records": runner.waiting_records(partition),
                    "idle_s": round(now_s - progress.progressed_at_s, 1),
                    "paused": progress.is_paused,
                }

"""A worker process from outside: its web port, a clean end, a crash, and what it says."""

import itertools
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.runtime.engine.health import Health
from pipeline.runtime.engine.runner import PartitionProgress, RunningCall
from pipeline.runtime.observability.metrics import Metrics
from tests.support.runtime.stages import produce
from tests.support.runtime.worker_process import worker
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.process import free_ports
from tests.support.waiting import wait_until

_names = itertools.count()


@pytest.fixture
def topic() -> str:
    return f"worker-{os.getpid()}-{next(_names)}"


def test_sigterm_flushes_commits_and_ends_with_status_zero(
    embedded_broker: EmbeddedBroker, topic: str, tmp_path: Path
) -> None:
    produce(embedded_broker.bootstrap_servers, topic, [b"x"] * 1000)
    with worker(embedded_broker, topic, "count", tmp_path) as process:
        process.wait_for("count 1000")
        wait_until(lambda: process.get("/readyz")[0] == 200, timeout_s=20, what="readiness")
        assert process.get("/healthz") == (200, '{"status": "alive", "stalled": []}')
        _, metrics = process.get("/metrics")
        assert f'cinnamon_lag_records{{partition="0",stage="counting",topic="{topic}"}} 0.0' in metrics
        process.process.send_signal(signal.SIGTERM)
        assert process.ends(20) == 0
        assert process.lines[-4:-1] == ["revoked", "committed True", "stopped"]
    produce(embedded_broker.bootstrap_servers, topic, [b"x"] * 10)
    with worker(embedded_broker, topic, "count", tmp_path) as process:
        process.wait_for("count 10")
        process.process.send_signal(signal.SIGINT)
        assert process.ends(20) == 0
        assert "count 11" not in process.lines


def test_a_bug_ends_the_process_with_status_one_and_says_where(
    embedded_broker: EmbeddedBroker, topic: str, tmp_path: Path
) -> None:
    produce(embedded_broker.bootstrap_servers, topic, [b"poison"])
    with worker(embedded_broker, topic, "crash", tmp_path) as process:
        assert process.ends(60) == 1
        assert "stopped" not in process.lines
        assert not any(line.startswith("committed") for line in process.lines)
        critical = [record for record in process.log_records() if record["level"] == "critical"]
    assert critical[0]["message"] == "stage counting failed in process"
    assert "ValueError: a bug in the stage" in critical[0]["exception"]
    assert critical[-1]["message"] == "the worker ends after a failure: ValueError('a bug in the stage')"


def test_a_second_signal_ends_a_worker_that_hangs(embedded_broker: EmbeddedBroker, topic: str, tmp_path: Path) -> None:
    with worker(embedded_broker, topic, "hang", tmp_path) as process:
        process.wait_for("hanging")
        process.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "SIGTERM: stopping" in process.log.read_text(), timeout_s=20, what="the first signal")
        process.process.send_signal(signal.SIGTERM)
        assert process.ends(10) == 1
        assert "SIGTERM again: leaving at once" in process.log.read_text()


def test_a_stage_that_hangs_turns_healthz_red(embedded_broker: EmbeddedBroker, topic: str, tmp_path: Path) -> None:
    with worker(embedded_broker, topic, "hang", tmp_path) as process:
        process.wait_for("hanging")
        wait_until(lambda: process.get("/healthz")[0] == 503, timeout_s=20, what="the stall on /healthz")
        (stalled,) = json.loads(process.get("/healthz")[1])["stalled"]
        assert (stalled["stage"], stalled["call"]) == ("counting", "tick")


def test_an_agent_that_ends_without_a_word_ends_the_process(
    embedded_broker: EmbeddedBroker, topic: str, tmp_path: Path
) -> None:
    produce(embedded_broker.bootstrap_servers, topic, [b"poison"])
    with worker(embedded_broker, topic, "cancel", tmp_path) as process:
        assert process.ends(60) == 1
        assert "the agent of stage counting has ended" in process.log.read_text()


def test_fetching_that_ends_by_a_fault_of_the_client_ends_the_process(
    embedded_broker: EmbeddedBroker, topic: str, tmp_path: Path
) -> None:
    produce(embedded_broker.bootstrap_servers, topic, [b"poison"])
    with worker(embedded_broker, topic, "break-fetcher", tmp_path) as process:
        assert process.ends(60) == 1
        assert "nothing is fetched from Kafka any more" in process.log.read_text()


def test_a_stage_too_slow_for_a_revocation_leaves_without_committing(
    embedded_broker: EmbeddedBroker, topic: str, tmp_path: Path
) -> None:
    produce(embedded_broker.bootstrap_servers, topic, [b"x"] * 10)
    with worker(embedded_broker, topic, "slow-revoke", tmp_path) as process:
        process.wait_for("count 10")
        process.process.send_signal(signal.SIGTERM)
        assert process.ends(20) == 0
        assert "it leaves without committing" in process.log.read_text()
        assert process.lines[-4:-1] == ["revoked", "cancelled", "stopped"]
    with worker(embedded_broker, topic, "count", tmp_path) as process:
        process.wait_for("count 10")


def test_a_broker_that_is_not_there_ends_the_start_with_status_one(topic: str, tmp_path: Path) -> None:
    with worker(f"127.0.0.1:{free_ports(1)[0]}", topic, "count", tmp_path) as process:
        assert process.ends(60) == 1
        assert any("cannot start" in record["message"] for record in process.log_records())


class StandingRunner:
    """Stands where a `StageRunner` does, with a partition that makes no progress."""

    def __init__(self, waiting_records: int | None, *, idle_s: float = 100.0, is_paused: bool = False) -> None:
        self.stage = type("AStage", (), {"name": "aggregate", "source_topic": "metrics.raw"})
        self.is_assigned = True
        self.call: RunningCall | None = None
        self.progress = {5: PartitionProgress(17, time.monotonic() - idle_s, is_paused)}
        self._waiting_records = waiting_records

    def waiting_records(self, _partition: int) -> int | None:
        return self._waiting_records


def health(runner: StandingRunner) -> Health:
    return Health([runner], Metrics(), stalled_after_s=60)


def test_a_partition_with_input_waiting_that_stands_still_is_named() -> None:
    is_alive, body = health(StandingRunner(3)).alive()
    assert not is_alive
    assert body["status"] == "stalled"
    (stalled,) = body["stalled"]
    assert (stalled["stage"], stalled["topic"], stalled["partition"]) == ("aggregate", "metrics.raw", 5)
    assert (stalled["next_offset"], stalled["waiting_records"]) == (17, 3)


@pytest.mark.parametrize(
    ("waiting_records", "more"),
    [(0, {}), (None, {}), (3, {"idle_s": 10.0}), (3, {"is_paused": True})],
    ids=["no-input", "unknown", "not-long", "paused"],
)
def test_a_partition_that_may_stand_still_does_not_stall(waiting_records: int | None, more: dict[str, Any]) -> None:
    assert health(StandingRunner(waiting_records, **more)).alive()[0]


def test_a_call_that_does_not_return_is_named_unless_its_stage_waits_for_a_sink() -> None:
    runner = StandingRunner(0)
    runner.call = RunningCall("process", time.monotonic() - 100)
    is_alive, body = health(runner).alive()
    assert not is_alive
    (stalled,) = body["stalled"]
    assert (stalled["stage"], stalled["call"]) == ("aggregate", "process")
    runner.progress[5].is_paused = True
    assert health(runner).alive()[0]


def test_a_worker_is_ready_when_it_is_assigned_and_not_far_behind() -> None:
    assert health(StandingRunner(3)).ready()[0]
    assert health(StandingRunner(5_000_000)).ready()[1]["behind"][0]["partition"] == 5
    joining = StandingRunner(0)
    joining.is_assigned = False
    assert health(joining).ready() == (False, {"status": "not ready", "joining": ["aggregate"], "behind": []})

"""``cinnamon simulate`` against the broker that the package brings."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from typer.testing import CliRunner, Result

from pipeline.cli import app
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.process import free_ports
from tests.support.waiting import wait_until
from topics import METRICS_RAW

DAY_MS = 86_400_000


@pytest.fixture
def broker(module_embedded_broker: EmbeddedBroker) -> EmbeddedBroker:
    """A broker of this module alone: the command has one topic for all, each test its own day in it."""
    return module_embedded_broker


def simulate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["simulate", *arguments])


def read(broker: EmbeddedBroker, expected: int, *, since_ms: int) -> list[tuple[bytes, bytes, int]]:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "reader"})
    consumer.assign([TopicPartition(METRICS_RAW, partition, 0) for partition in range(4)])
    found: list[tuple[bytes, bytes, int]] = []

    def read_more() -> bool:
        for message in consumer.consume(500, 0.1):
            if message.error() is None and since_ms <= message.timestamp()[1] < since_ms + DAY_MS:
                found.append((message.key(), message.value(), message.timestamp()[1]))
        return len(found) >= expected

    wait_until(read_more, timeout_s=30, what=f"{expected} messages")
    consumer.close()
    return found


def test_so_much_of_the_fleets_time_is_sent_and_summed_up(broker: EmbeddedBroker) -> None:
    given = ["--hosts", "10", "--interval", "10s", "--duration", "1m", "--start", "1980-01-01", "--rate", "0"]
    start_ms = 315_532_800_000
    result = simulate(*given, "--bootstrap", broker.bootstrap_servers)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("sent 360, delivered 360, failed 0, undelivered 0 in ")
    found = read(broker, 360, since_ms=start_ms)
    assert {time_ms for _, _, time_ms in found} == {start_ms + n * 10_000 for n in range(6)}
    assert len({key for key, _, _ in found}) == 10


def test_the_truth_is_a_json_object_an_incident(broker: EmbeddedBroker, tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    given = ["--hosts", "30", "--interval", "10s", "--duration", "90s", "--start", "1", "--rate", "0"]
    result = simulate(*given, "--bootstrap", broker.bootstrap_servers, "--truth", str(truth))
    assert result.exit_code == 0, result.output
    incidents = [json.loads(line) for line in truth.read_text().splitlines()]
    assert len(incidents) >= 5
    assert incidents[0].keys() == {"host", "resource", "metric", "kind", "start_ms", "end_ms"}
    assert all(1 < one["start_ms"] <= 90_000 for one in incidents)


def test_json_is_sent_when_asked_for(broker: EmbeddedBroker) -> None:
    given = ["--hosts", "1", "--duration", "10s", "--format", "json", "--rate", "0", "--interval", "10s"]
    given += ["--start", "1990-01-01"]
    assert simulate(*given, "--bootstrap", broker.bootstrap_servers).exit_code == 0
    assert {json.loads(value)["name"] for _, value, _ in read(broker, 6, since_ms=631_152_000_000)} == {
        *("cpu", "mem", "disk", "diskio", "net", "system")
    }


def test_a_rate_alone_sets_the_interval_so_that_the_fleets_time_keeps_up_with_the_clock(
    broker: EmbeddedBroker,
) -> None:
    now_ms = time.time_ns() // 1_000_000
    started_s = time.monotonic()
    result = simulate("--hosts", "10", "--rate", "600", "--duration", "500ms", "--bootstrap", broker.bootstrap_servers)
    assert result.stdout.startswith("sent 300, delivered 300, ")
    assert time.monotonic() - started_s >= 0.4
    times = {time_ms for _, _, time_ms in read(broker, 300, since_ms=now_ms - 100)}
    assert max(times) - min(times) == 400


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_with_everything_delivered(broker: EmbeddedBroker, number: signal.Signals) -> None:
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "simulate", "--hosts", "5"]
    with subprocess.Popen(
        [*command, "--interval", "100ms", "--bootstrap", broker.bootstrap_servers],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert "messages" in process.stderr.readline()  # a first line of progress
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    sent = int(out.split()[1].rstrip(","))
    assert sent > 0
    assert out.startswith(f"sent {sent}, delivered {sent}, failed 0, undelivered 0 in ")


def test_without_a_broker_the_failures_are_reported_with_status_1() -> None:
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    result = simulate(
        "--hosts",
        "1",
        "--duration",
        "10s",
        "--interval",
        "10s",
        "--rate",
        "0",
        "--bootstrap",
        nowhere,
        "--delivery-timeout",
        "300ms",
    )
    assert result.exit_code == 1
    assert result.stdout.startswith("sent 6, delivered 0, failed 6, ")
    assert "not delivered: " in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--interval", "often"], "'often' is no duration"),
        (["--start", "later"], "'later' is no moment"),
        (["--format", "json", "--interval", "500ms"], "must be multiples of 1000 ms"),
        (["--hosts", "0"], "greater than or equal to 1"),
        (["--bootstrap", "nowhere"], "'nowhere' must be HOST:PORT"),
        (["--truth", "/nonexistent/truth"], "cannot write /nonexistent/truth"),
    ],
)
def test_bad_use_is_explained_with_status_2(arguments: list[str], message: str) -> None:
    result = simulate("--duration", "1s", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())

"""``cinnamon alerts`` prints each event of the topic once, what is open, and what comes while it follows."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import topics
from pipeline.cli import app
from schemas.alert import AlertEvent, AlertReason, AlertState
from tests.support.channels.alerts import alert_event
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.process import free_ports
from tests.support.stages.brokers import Raw, pipeline_topics, produce
from tests.support.waiting import wait_until

BASE_MS = 1_780_000_000_000


@pytest.fixture
def broker(own_embedded_broker: EmbeddedBroker) -> Iterator[EmbeddedBroker]:
    with pipeline_topics(own_embedded_broker, partitions=2, names=(topics.ALERTS,)):
        yield own_embedded_broker


def event(alert: str, sequence: int, level: str | None, previous: str | None = None, **changes: object) -> AlertEvent:
    state = AlertState.FIRING if level else AlertState.OK
    return alert_event(
        id=f"{alert}/{sequence}",
        alert_id=alert,
        sequence=sequence,
        level=level,
        previous_level=previous,
        state=state,
        reason=AlertReason.FIRST_BREACH if level else AlertReason.RECOVERED,
        time_ms=BASE_MS + 1000 * sequence,
        **changes,
    )


def send(broker: EmbeddedBroker, *events: AlertEvent) -> None:
    produce(broker, [Raw(one.to_json(), one.key().encode(), partition=0) for one in events], topics.ALERTS)


def run(broker: EmbeddedBroker, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["alerts", *arguments, "--bootstrap", broker.bootstrap_servers])


def ids(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [json.loads(line)["id"] for line in result.stdout.splitlines()]


def test_each_event_is_printed_once_and_can_be_chosen(broker: EmbeddedBroker) -> None:
    first = event("a", 1, "info")
    send(broker, first, first, event("b", 1, "critical", policy="disk"), event("b", 2, None, "critical", policy="disk"))
    produce(broker, [Raw(b"no event", b"x", partition=1)], topics.ALERTS)
    assert sorted(ids(run(broker, "--json"))) == ["a/1", "b/1", "b/2"]
    assert ids(run(broker, "--json", "--level", "critical")) == ["b/1", "b/2"]
    assert ids(run(broker, "--json", "--policy", "disk", "--limit", "1")) == ["b/2"]
    assert ids(run(broker, "--json", "--open")) == ["a/1"]
    assert ids(run(broker, "--json", "--since", "1s")) == []
    lines = run(broker).stdout.splitlines()
    assert lines[0].startswith("2026-05-28T20:26:41Z  info ")
    assert [line.split()[1] for line in lines] == ["info", "critical", "ok"]


def test_what_nobody_is_notified_of_is_left_out_unless_it_is_asked_for(broker: EmbeddedBroker) -> None:
    send(broker, event("a", 1, "info", notify=False), event("a", 2, "warn", "info"))
    assert ids(run(broker, "--json")) == ["a/2"]
    assert ids(run(broker, "--json", "--all")) == ["a/1", "a/2"]


def test_it_follows_until_it_is_ended(broker: EmbeddedBroker, tmp_path: Path) -> None:
    send(broker, event("a", 1, "info"))
    command = [sys.executable, "-m", "pipeline", "alerts", "--follow", "--bootstrap", broker.bootstrap_servers]
    out = tmp_path / "out"
    with (
        out.open("w") as file,
        subprocess.Popen(command, stdout=file, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process,
    ):
        alive = lambda: process.poll() is None  # noqa: E731
        wait_until(lambda: " info " in out.read_text(), timeout_s=60, what="the first alert", alive=alive)
        send(broker, event("a", 2, "critical", "info"))
        wait_until(lambda: " critical " in out.read_text(), timeout_s=60, what="the second", alive=alive)
        process.terminate()
        assert process.wait(30) == 0


def test_a_broker_that_is_not_there_is_named() -> None:
    (port,) = free_ports(1)
    result = CliRunner().invoke(app, ["alerts", "--bootstrap", f"127.0.0.1:{port}", "--timeout-s", "1"])
    assert result.exit_code == 1
    assert f"no Kafka broker at 127.0.0.1:{port}" in result.output

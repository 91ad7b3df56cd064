"""``cinnamon topics`` makes the catalogue's topics, reports differences by its exit status, and deletes nothing."""

import json
from pathlib import Path

import pytest
import typer
import yaml
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from typer.testing import CliRunner

import topics
from pipeline.cli import topics as commands
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.process import free_ports

ALL = {value for name, value in vars(topics).items() if name.isupper()}

root = typer.Typer()
commands.register(root)


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(root, ["topics", *arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def servers(own_embedded_broker: EmbeddedBroker) -> str:
    """A broker of this test alone, as the topics' names are the same for all."""
    return own_embedded_broker.bootstrap_servers


def test_apply_makes_all_topics_and_check_agrees(servers: str) -> None:
    status, out, _ = run("check", "--bootstrap", servers, "--partitions", "2", "--json")
    assert status == 1
    assert set(json.loads(out)["missing"]) == ALL

    status, out, _ = run("apply", "--bootstrap", servers, "--partitions", "2", "--json")
    assert status == 0
    assert set(json.loads(out)["created"]) == ALL

    assert run("check", "--bootstrap", servers, "--partitions", "2") == (
        0,
        "The topics are as the catalogue has them.\n",
        "",
    )


def test_check_reports_other_partitions_and_apply_leaves_them_alone(servers: str) -> None:
    client = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    made_by_others = NewTopic(topics.METRICS_RAW, num_partitions=1, replication_factor=1)
    client.create_topics([made_by_others])[topics.METRICS_RAW].result(10)

    status, _, warnings = run("apply", "--bootstrap", servers)
    assert status == 0
    assert "left alone: partitions of metrics.raw is 1, the catalogue has 12\n" in warnings

    status, out, _ = run("check", "--bootstrap", servers, "--json")
    assert status == 1
    assert {"topic": "metrics.raw", "setting": "partitions", "wanted": "12", "found": "1"} in json.loads(out)[
        "differences"
    ]
    assert len(client.list_topics(topics.METRICS_RAW, timeout=10).topics[topics.METRICS_RAW].partitions) == 1


def test_a_broker_that_is_not_there_is_one_line_and_status_1(capfd: pytest.CaptureFixture[str]) -> None:
    (port,) = free_ports(1)

    status, out, message = run("apply", "--bootstrap", f"127.0.0.1:{port}", "--timeout-s", "1")

    assert (status, out, message.count("\n")) == (1, "", 1)
    assert message.startswith(f"no Kafka broker at 127.0.0.1:{port}: ")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("arguments", [("--bootstrap", "nonsense"), ("--partitions", "0"), ("--what",)])
def test_bad_use_is_status_2(arguments: tuple[str, ...]) -> None:
    assert run("check", *arguments)[0] == 2


def test_settings_that_are_wrong_are_status_1(tmp_path: Path) -> None:
    config = tmp_path / "cinnamon.yaml"
    config.write_text("kafka: {bootstrap_servers: 7}")

    status, _, message = run("check", "--config", str(config))

    assert status == 1
    assert "kafka.bootstrap_servers: should be a valid string; got 7" in message


def test_list_shows_the_catalogue_without_a_broker() -> None:
    status, out, _ = run("list", "--json", "--partitions", "5")

    rows = {row["name"]: row for row in json.loads(out)}
    assert status == 0
    assert rows.keys() == ALL
    assert rows["metrics.raw"]["partitions"] == 5
    assert rows["policies"]["partitions"] == 1

    status, out, _ = run("list")
    assert status == 0
    assert all(name in out for name in ALL)


def test_render_prints_one_resource_for_each_topic() -> None:
    status, out, _ = run("render", "--replication", "3", "--cluster", "prod")

    resources = list(yaml.safe_load_all(out))
    assert status == 0
    assert {resource["spec"]["topicName"] for resource in resources} == ALL
    assert {resource["spec"]["replicas"] for resource in resources} == {3}

"""``cinnamon policy`` puts all policies of its files in force or none, and says what is wrong with them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import topics
from pipeline.cli import policy
from pipeline.cli.policy_files import PolicyFilesError, read_policies
from pipeline.core.policies import KINDS
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.process import free_ports
from tests.support.stages.brokers import Raw, pipeline_topics, produce, read_topic

root = typer.Typer()
policy.register(root)

QUIET = "kind: detection\nid: quiet\ntitle: Not these\nwhere: {measurement: disk*}\ndetector: none\n"
LOUD = "kind: detection\nid: loud\ntitle: Those too\nenabled: false\n"


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(root, ["policy", *arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def servers(own_embedded_broker: EmbeddedBroker) -> Iterator[EmbeddedBroker]:
    with pipeline_topics(own_embedded_broker, names=(topics.POLICIES,)):
        yield own_embedded_broker


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "policies"
    path.mkdir()
    (path / "one.yaml").write_text(f"{QUIET}---\n{LOUD}")
    (path / "notes.txt").write_text("not: {a policy")
    return path


def test_policies_are_applied_listed_and_deleted(servers: EmbeddedBroker, folder: Path) -> None:
    at = ("--bootstrap", servers.bootstrap_servers)
    assert run("apply", "-f", str(folder), "--dry-run") == (
        0,
        "would apply detection/quiet\nwould apply detection/loud\n",
        "",
    )
    assert run("list", *at) == (0, "", "No policies.\n")
    assert run("apply", "-f", str(folder), *at) == (0, "applied detection/quiet\napplied detection/loud\n", "")
    (row,) = [record for record in read_topic(servers, topics.POLICIES) if record.key == b"detection/quiet"]
    assert json.loads(row.value) == {
        "kind": "detection",
        "id": "quiet",
        "title": "Not these",
        "where": {"measurement": "disk*"},
        "detector": "none",
    }
    produce(servers, [Raw(b'{"id": "x"}', b"detection/x"), Raw(b"1", b"cake/y")], topics.POLICIES)
    status, out, _ = run("list", *at, "--json")
    listed = {f"{row['kind']}/{row['id']}": row for row in json.loads(out)}
    assert status == 0
    assert sorted(listed) == ["cake/y", "detection/loud", "detection/quiet", "detection/x"]
    assert "title" in listed["detection/x"]["error"] or "validation error" in listed["detection/x"]["error"]
    assert "error" not in listed["detection/quiet"]
    assert ["detection", "loud", "no", "Those", "too"] in [line.split() for line in run("list", *at)[1].splitlines()]

    status, _, message = run("delete", "quiet", "loud", "nobody", *at)
    assert (status, message) == (1, "policy nobody is not there; nothing is deleted\n")
    assert run("delete", "detection/x", "y", "-f", str(folder), *at)[0] == 0
    assert run("list", *at) == (0, "", "No policies.\n")


def test_every_mistake_is_named_with_file_document_and_field_and_nothing_is_applied(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(
        "- 1\n---\nkind: cake\n---\n"
        "kind: detection\nid: a\ntitel: x\nlevels: {info: 0}\n---\n"
        f"{QUIET}---\n{QUIET}---\nkind: detection\nid: b\ntitle: t\ndetector: sorcery\n"
    )
    (tmp_path / "twice.yaml").write_text("id: a\nid: b\n")

    status, out, message = run("apply", "-f", str(file), "-f", str(tmp_path / "twice.yaml"), "-f", "no-such-file")

    kinds = ", ".join(sorted(KINDS))
    lines = message.splitlines()
    assert (status, out) == (1, "")
    assert lines[0] == f"{file}: document 1: must be a mapping, got list"
    assert lines[1] == f"{file}: document 2: kind: must be one of {kinds}, got 'cake'"
    assert f"{file}: document 3: title: Field required" in lines
    assert f"{file}: document 3: titel: Extra inputs are not permitted; got 'x'" in lines
    assert f"{file}: document 3: levels.info: should be greater than or equal to 1.5; got 0" in lines
    assert f"{file}: document 5: id: detection/quiet stands in {file}: document 4 as well" in lines
    assert any(line.startswith(f"{file}: document 6: detector must be one of bank, ") for line in lines)
    assert f"{tmp_path / 'twice.yaml'}: line 1, column 1: not valid YAML: a key is there twice" in lines
    assert lines[-1] == "no-such-file: there is no such file"


def test_an_empty_folder_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(PolicyFilesError, match="no policy in any of the files"):
        read_policies([tmp_path])


def test_without_a_broker_one_line_and_status_1(folder: Path) -> None:
    (port,) = free_ports(1)
    status, _, message = run("apply", "-f", str(folder), "--bootstrap", f"127.0.0.1:{port}", "--timeout-s", "1")
    assert (status, message.count("\n")) == (1, 1)
    assert message.startswith(f"no Kafka broker at 127.0.0.1:{port}: ")

"""``cinnamon doctor`` says what is wrong, and nothing when nothing is."""

import json
from pathlib import Path

import yaml
from typer.testing import CliRunner

import topics
from pipeline.cli import app
from pipeline.core.records.identity.rekeying import ORIGIN_HEADER, Origin
from pipeline.stages.registry import stage_specs
from pipeline.stores.embedded.windows import EmbeddedStore
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.stages.brokers import Raw, pipeline_topics, produce


def findings(*arguments: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """Run the command; give its exit status, and status and detail by check."""
    result = CliRunner().invoke(app, ["doctor", "--json", *arguments])
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    return result.exit_code, {row["check"]: (row["status"], row["detail"]) for row in rows}


def config_of(tmp_path: Path, broker: EmbeddedBroker) -> str:
    store = tmp_path / "windows.db"
    EmbeddedStore(store).close()
    settings = {
        "kafka": {"bootstrap_servers": broker.bootstrap_servers, "group_prefix": tmp_path.name},
        "stores": [{"name": "local", "kind": "embedded", "path": str(store)}],
    }
    path = tmp_path / "cinnamon.yaml"
    path.write_text(yaml.safe_dump(settings))
    return str(path)


def test_agents_that_send_without_a_key_are_named(own_embedded_broker: EmbeddedBroker, tmp_path: Path) -> None:
    with pipeline_topics(own_embedded_broker) as broker:
        headers = [(ORIGIN_HEADER, Origin(0, 5, 0).to_bytes())]
        records = [Raw(b"cpu,host=a v=1 1700000000", b"ns1/m1/careless", headers=headers) for _ in range(3)]
        produce(broker, [*records, Raw(b"cpu,host=b v=1 1700000000", b"ns1/m1/good")])
        status, found = findings("--config", config_of(tmp_path, own_embedded_broker))
    assert status == 1  # the test's broker has the pipeline's own topics alone
    assert found["topic alerts"] == ("fail", "missing; `cinnamon topics apply` makes it")
    assert f"topic {topics.METRICS_RAW}" in found
    assert found["store local"] == ("ok", "embedded answers")
    assert found[f"group {tmp_path.name}-aggregate"][0] == "warn"
    groups = {name for spec in stage_specs() if spec.name != "sink" for name, _ in spec.groups} | {"sink-local"}
    assert {f"group {tmp_path.name}-{name}" for name in groups} <= found.keys()
    assert found[f"group {tmp_path.name}-downsample"][0] == "warn"
    assert found[f"group {tmp_path.name}-trigger-anomalies"][1] == "has nothing to read: topic anomalies is missing"
    assert found["agent of ns1/m1/careless"][0] == "warn"
    assert found["agent of ns1/m1/careless"][1].startswith("sent 3 of the recent records without a key")
    assert not any("good" in check for check in found)


def test_what_cannot_be_reached_fails_with_its_cause() -> None:
    status, found = findings("--bootstrap", "127.0.0.1:1", "--timeout-s", "1")
    assert status == 1
    assert found["kafka"][0] == "fail"
    assert "127.0.0.1:1" in found["kafka"][1]
    assert found["stores"][0] == "warn"

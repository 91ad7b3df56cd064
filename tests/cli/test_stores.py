"""``cinnamon stores``: buckets and files are made and checked, nothing is deleted, and no token is shown."""

import json
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from typer.testing import CliRunner, Result

from pipeline.cli import app
from tests.support.servers.influxdb import InfluxDB

DAY_S = 86_400


def stores(command: str, directory: Path, *sections: dict[str, Any], options: tuple[str, ...] = ()) -> Result:
    path = directory / "settings.yaml"
    path.write_text(yaml.safe_dump({"stores": list(sections)}))
    return CliRunner().invoke(app, ["stores", command, "--config", str(path), *options])


def place(server: InfluxDB, bucket: str, **options: Any) -> dict[str, Any]:
    where = {"url": server.url, "org": server.org, "bucket": bucket, "token": server.token}
    return {"name": "eu", "kind": "influxdb", **where, **options}


def retention_s(server: InfluxDB, bucket: str) -> int:
    headers = {"Authorization": f"Token {server.token}"}
    found = httpx.get(f"{server.url}/api/v2/buckets", params={"name": bucket}, headers=headers).raise_for_status()
    return int(found.json()["buckets"][0]["retentionRules"][0]["everySeconds"])


def test_a_file_is_missing_then_made_and_then_as_it_should_be(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "windows.db"
    section = {"name": "local", "kind": "embedded", "path": str(file)}
    missing = stores("check", tmp_path, section, options=("--json",))
    assert missing.exit_code == 1
    difference = {"store": "local", "setting": "file", "wanted": str(file), "found": "missing"}
    assert json.loads(missing.stdout) == {"differences": [difference], "failures": {}}
    made = stores("apply", tmp_path, section)
    assert (made.exit_code, made.stdout) == (0, f"local: made the file {file}\n")
    for command in ("check", "apply"):
        result = stores(command, tmp_path, section)
        assert (result.exit_code, result.stdout) == (0, "The stores are as the settings have them.\n")


def test_a_file_that_is_no_store_is_named_and_the_others_are_made(tmp_path: Path) -> None:
    broken, fine = tmp_path / "broken.db", tmp_path / "fine.db"
    broken.write_bytes(b"no database at all" * 100)
    sections = [{"name": name, "kind": "embedded", "path": str(tmp_path / f"{name}.db")} for name in ("broken", "fine")]
    result = stores("apply", tmp_path, *sections)
    assert result.exit_code == 1
    assert result.stdout == f"fine: made the file {fine}\n"
    assert "store broken: cannot read the embedded store" in result.stderr
    assert broken.read_bytes() == b"no database at all" * 100


def test_without_stores_there_is_nothing_to_check(tmp_path: Path) -> None:
    result = stores("check", tmp_path)
    assert result.exit_code == 1
    assert "no store is configured" in result.stderr


@pytest.mark.real
def test_a_bucket_is_made_with_its_retention_and_lengthened_but_never_shortened(
    influxdb: InfluxDB, tmp_path: Path
) -> None:
    bucket = f"setup-{uuid.uuid4().hex}"
    section = place(influxdb, bucket, retention_days=7)
    missing = stores("check", tmp_path, section)
    assert missing.exit_code == 1
    assert missing.stdout.splitlines()[1].split() == ["eu", "bucket", bucket, "missing"]
    assert stores("apply", tmp_path, section).stdout == f"eu: made the bucket {bucket}, kept 7 d\n"
    assert retention_s(influxdb, bucket) == 7 * DAY_S
    assert stores("check", tmp_path, section).exit_code == 0
    longer = section | {"retention_days": 30}
    assert stores("check", tmp_path, longer).stdout.splitlines()[1].split() == ["eu", "retention", "30", "d", "7", "d"]
    raised = stores("apply", tmp_path, longer)
    assert raised.stdout == f"eu: raised the retention of bucket {bucket} from 7 d to 30 d\n"
    assert retention_s(influxdb, bucket) == 30 * DAY_S
    left = stores("apply", tmp_path, section)
    assert (left.exit_code, left.stdout) == (0, "")
    assert left.stderr == "left alone: retention of eu is 30 d, the settings have 7 d\n"
    assert retention_s(influxdb, bucket) == 30 * DAY_S
    assert stores("check", tmp_path, place(influxdb, bucket)).exit_code == 0


@pytest.mark.real
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"org": "nobody"}, r'organization name "nobody" not found'),
        ({"token": "a-wrong-token"}, "check the token"),
        ({"url": "http://127.0.0.1:9"}, "the list of buckets failed, no answer"),
    ],
)
def test_what_cannot_be_asked_is_told_without_the_token(
    wrong: dict[str, str], message: str, influxdb: InfluxDB, tmp_path: Path
) -> None:
    for command in ("check", "apply"):
        result = stores(command, tmp_path, place(influxdb, "setup-wrong") | wrong)
        assert result.exit_code == 1
        assert result.stderr.startswith("store eu: InfluxDB at http://127.0.0.1")
        assert message in result.stderr
        assert influxdb.token not in result.output
        assert "a-wrong-token" not in result.output

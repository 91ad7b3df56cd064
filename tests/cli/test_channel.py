from pathlib import Path

import orjson
import pytest
import yaml
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.runtime.secrets.sealing import make_key_file
from tests.support.channels.receivers import http_receiver

RUNNER = CliRunner()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Have settings with keys, and a channel with a file's and a sealed secret."""
    make_key_file(tmp_path / "keys", where="test")
    act = {"secrets_dir": str(tmp_path), "secrets_key_file": str(tmp_path / "keys")}
    (tmp_path / "cinnamon.yaml").write_text(yaml.safe_dump({"act": act}))
    return tmp_path


def describe(folder: Path, **channel: object) -> Path:
    path = folder / "policies.yaml"
    path.write_text(yaml.safe_dump({"kind": "channel", "id": "hook", "timeout": "1s"} | channel))
    return path


def run(folder: Path, *arguments: str, text: str | None = None) -> tuple[int, str, str]:
    result = RUNNER.invoke(app, ["channel", *arguments, "--config", str(folder / "cinnamon.yaml")], input=text)
    return result.exit_code, result.stdout, result.stderr


def test_a_channel_is_tried_out_with_its_secrets(folder: Path) -> None:
    status, sealed, _ = run(folder, "seal", text="Bearer hunter2\n")
    assert status == 0
    webhook = {"url": {"file": "url"}, "headers": {"Authorization": {"sealed": sealed.strip()}}}
    path = describe(folder, webhook=webhook)
    with http_receiver() as server:
        (folder / "url").write_text(f"http://{server.address}/hunter3")
        assert run(folder, "test", "hook", "--file", str(path)) == (0, "sent through hook (webhook)\n", "")
        (request,) = server.requests
        assert request.headers["Authorization"] == "Bearer hunter2"
        assert orjson.loads(request.body)["alerts"][0]["text"] == "This is a test of the channel: nothing is wrong."
        server.status = 404
        assert run(folder, "test", "hook", "--file", str(path)) == (
            1,
            "",
            "not sent: the server answered 404 Not Found (REJECTED; it does not help to try again)\n",
        )


def test_a_channel_that_there_is_not_says_so(folder: Path) -> None:
    path = describe(folder, webhook={"url": {"file": "url"}})
    assert run(folder, "test", "other", "--file", str(path)) == (1, "", "there is no channel other in the files\n")
    status, _, error = run(folder, "test", "hook", "--file", str(path))
    assert (status, error.startswith("not sent: channel hook: secret url: cannot read")) == (1, True)


def test_a_template_that_may_not_be_used_is_a_mistake_before_it_is_in_force(folder: Path) -> None:
    path = describe(folder, webhook={"url": {"file": "url"}}, template={"text": "{{ ''.__class__ }}"})
    result = RUNNER.invoke(app, ["policy", "apply", "--dry-run", "--file", str(path)])
    assert result.exit_code == 1
    assert result.stderr == (f"{path}: document 1: template.text: line 1: '__class__' is not allowed in templates\n")

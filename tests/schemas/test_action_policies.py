import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.channels.compose import check_templates
from pipeline.core.policies import KINDS
from schemas.channel import Channel
from schemas.mistakes import model_of
from schemas.scenario import Scenario
from schemas.script import Script
from schemas.silence import Maintenance, Silence
from schemas.trigger_policy import PolicyError


def mistakes_of(model: Any, document: Any) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        model_of(model, document)
    return caught.value.mistakes


def test_the_scenario_of_the_manual_is_one() -> None:
    scenario = model_of(
        Scenario,
        {
            "id": "ops-default",
            "levels": {
                "warn": [{"after": "0s", "notify": "ops-mail"}],
                "critical": [
                    {"after": "0s", "notify": ["ops-mail", "ops-sms"]},
                    {"after": "5m", "notify": "on-call-push"},
                    {"after": "10m", "run": "restart-service"},
                ],
            },
        },
    )
    critical = scenario.levels.of("critical")
    assert [step.after.total_seconds() for step in critical] == [0, 300, 600]
    assert [step.notify for step in critical] == [("ops-mail", "ops-sms"), ("on-call-push",), ()]
    assert critical[2].run == "restart-service"
    assert scenario.levels.of("info") == ()


@pytest.mark.parametrize(
    ("step", "mistake"),
    [
        ({}, "levels.warn[0]: needs either notify or run"),
        ({"notify": "a", "run": "b"}, "levels.warn[0]: needs either notify or run"),
        ({"run": "b", "to": ["a@b"]}, "levels.warn[0]: to: only with notify"),
        ({"notfy": "a"}, "levels.warn[0].notfy: unknown key; did you mean notify?"),
        ({"notify": "a", "after": 5}, "levels.warn[0].after: must be a duration: a number and ms, s, m, h or d, as in 5m; or 0; got 5"),  # noqa: E501
    ],
)  # fmt: skip
def test_a_wrong_step_is_named(step: dict[str, Any], mistake: str) -> None:
    assert mistakes_of(Scenario, {"id": "x", "levels": {"warn": [step]}}) == [mistake]


def test_steps_stand_in_the_order_of_their_time() -> None:
    steps = [{"after": "5m", "notify": "a"}, {"after": "1m", "notify": "b"}]
    assert mistakes_of(Scenario, {"id": "x", "levels": {"warn": steps}}) == [
        "levels: warn: the steps must stand in the order of their after"
    ]


@pytest.mark.parametrize(
    "document",
    [
        {"id": "x", "apprise": {"url": "slack://hunter2"}},
        {"id": "x", "webhook": {"url": {"file": "hook"}, "headers": {"Authorization": "hunter2"}}},
        {"id": "x", "webhook": {"url": {"sealed": "hunter2 hunter2"}}},
        {"id": "x", "webhook": {"url": {"file": "../hunter2"}}},
        {"id": "x", "apprise": {"url": {"value": "hunter2"}}},
    ],
)
def test_a_plain_secret_is_refused_and_not_repeated(document: dict[str, Any]) -> None:
    with pytest.raises(PolicyError) as caught:
        model_of(Channel, document)
    assert "hunter2" not in repr(caught.value)
    assert "hunter2" not in repr(caught.value.__cause__)
    assert caught.value.__suppress_context__


def test_a_sealed_secret_is_not_shown() -> None:
    channel = model_of(Channel, {"id": "x", "apprise": {"url": {"sealed": "gAAAAA"}}})
    assert "gAAAAA" not in repr(channel)
    assert "gAAAAA" in channel.model_dump_json()


def test_a_channel_is_of_one_type() -> None:
    assert mistakes_of(Channel, {"id": "x"}) == [f"needs exactly one of {', '.join(Channel.sections())}"]


def test_a_password_does_not_go_over_an_open_connection() -> None:
    smtp = {"host": "h", "sender": "a@b", "recipients": ["c@d"], "username": "u", "password": {"file": "p"}}
    assert mistakes_of(Channel, {"id": "x", "smtp": smtp | {"security": "none"}}) == [
        "smtp: security: a password is not sent over a connection that is not encrypted"
    ]
    assert model_of(Channel, {"id": "x", "smtp": smtp}).smtp.server_port == 587


@pytest.mark.parametrize("file", ["../rm", "/bin/sh", "a/b", ".hidden", ""])
def test_a_script_is_a_name_in_its_folder(file: str) -> None:
    assert mistakes_of(Script, {"id": "x", "file": file})[0].startswith("file: ")


@pytest.mark.parametrize("argument", ["{resource.__class__}", "{0}", "{}", "{", "}", "a\x00b", "{tags.}"])
def test_an_argument_has_known_placeholders_alone(argument: str) -> None:
    assert mistakes_of(Script, {"id": "x", "file": "f", "arguments": [argument]})[0].startswith("arguments[0]: ")


def test_a_script_is_a_dry_run_unless_it_says_otherwise() -> None:
    assert model_of(Script, {"id": "x", "file": "f", "arguments": ["{tags.host}", "{{}}"]}).dry_run


def test_a_silence_ends_after_it_starts_and_says_its_zone() -> None:
    silence = {"id": "x", "alerts": {}, "starts": "2026-01-01T09:00:00+09:00", "ends": "2026-01-01T01:00:00Z"}
    assert model_of(Silence, silence).ends_ms - model_of(Silence, silence).starts_ms == 3_600_000
    assert mistakes_of(Silence, silence | {"ends": "2026-01-01T00:00:00Z"})[0].startswith("ends: must be after starts")
    assert mistakes_of(Silence, silence | {"ends": "2026-01-01T01:00:00"})[0].startswith("ends: ")


def test_maintenance_begins_by_the_clock_of_its_zone() -> None:
    maintenance = {"id": "x", "alerts": {}, "start": "22:30", "duration": "2h", "zone": "Asia/Seoul"}
    assert model_of(Maintenance, maintenance).start_minute == 22 * 60 + 30
    assert mistakes_of(Maintenance, maintenance | {"duration": "8d", "start": "24:00", "zone": "Mars"}) == [
        "start: should match pattern '^([01][0-9]|2[0-3]):[0-5][0-9]$'; got '24:00'",
        "zone: must be a time zone of the IANA database, as Asia/Seoul; got 'Mars'",
    ]


def test_the_documents_on_the_page_of_actions_are_some() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "notify-and-run-scripts.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    documents = [document for block in blocks for document in yaml.safe_load_all(block)]
    kinds = [document["kind"] for document in documents]
    for document in documents:
        policy = KINDS[document["kind"]](document)
        assert not isinstance(policy, Channel) or check_templates(policy) == []
    assert kinds == ["scenario", "channel", "channel", "channel", "script"]

"""Secrets of channels: given once, sealed in the database and on the topic, in no answer, error or log."""

import json
import logging
from typing import Any

import pytest
from sqlalchemy import select

from pipeline.control.auth.principal import Role
from pipeline.control.tables import DOCUMENTS
from schemas.channel import Channel
from tests.support.control.api import Api, fields

SECRET = "hunter-2-and-longer"  # noqa: S105
ANY = {"If-Match": "*"}


def mail(**more: Any) -> dict[str, Any]:
    smtp = {
        "host": "smtp.example.org",
        "username": "cinnamon",
        "password": {"value": SECRET},
        "sender": "cinnamon@example.org",
        "recipients": ["ops@example.org"],
    }
    return {"id": "mail", "smtp": smtp | more}


def stored(api: Api) -> dict[str, Any]:
    with api.database.reading() as connection:
        return dict(json.loads(connection.execute(select(DOCUMENTS.c.document)).scalar_one()))


def test_a_secret_is_sealed_where_it_is_kept_and_kept_from_answers(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    admin = api.as_(Role.ADMIN)

    with caplog.at_level(logging.DEBUG):
        answers = [
            admin.post("/v1/channels", json=mail()),
            admin.post("/v1/channels", json=mail()),
            admin.get("/v1/channels/mail"),
            admin.get("/v1/channels"),
            admin.put("/v1/channels/mail", json=mail(port="x"), headers=ANY),
        ]

    assert [answer.status_code for answer in answers] == [201, 409, 200, 200, 422]
    assert all(SECRET not in answer.text for answer in answers)
    assert answers[0].json()["document"]["smtp"]["password"] == {"kept": True}
    assert SECRET not in caplog.text
    ((_, published),) = api.outbox()
    assert published is not None
    assert json.loads(published) == stored(api)
    assert SECRET not in published
    channel = Channel.model_validate_json(published)
    assert channel.smtp is not None
    assert channel.smtp.password is not None
    assert api.box.open(channel.smtp.password.sealed or "") == SECRET


def test_what_was_read_can_be_edited_and_put_back(api: Api) -> None:
    admin = api.as_(Role.ADMIN)
    document = admin.post("/v1/channels", json=mail()).json()["document"]
    before = stored(api)

    answer = admin.put("/v1/channels/mail", json=document | {"title": "Mail"}, headers=ANY)

    assert answer.status_code == 200, answer.text
    assert stored(api) == before | {"title": "Mail"}


@pytest.mark.parametrize(
    "change",
    [{"host": "evil.example.org"}, {"port": 2525}, {"security": "tls"}, {"username": "other"}],
)
def test_a_secret_is_not_sent_to_another_server_by_whoever_does_not_know_it(
    sqlite_api: Api, change: dict[str, Any]
) -> None:
    admin = sqlite_api.as_(Role.ADMIN)
    admin.post("/v1/channels", json=mail())

    answer = admin.put("/v1/channels/mail", json=mail(password={"kept": True}, **change), headers=ANY)

    assert fields(answer) == ["body.smtp.password"]
    assert len(sqlite_api.outbox()) == 1


def test_a_header_is_not_kept_for_another_address(sqlite_api: Api) -> None:
    admin = sqlite_api.as_(Role.ADMIN)
    url, header = {"value": "https://example.org/a"}, {"Authorization": {"value": SECRET}}
    admin.post("/v1/channels", json={"id": "hook", "webhook": {"url": url, "headers": header}})
    kept = {"Authorization": {"kept": True}}

    moved = admin.put("/v1/channels/hook", json={"id": "hook", "webhook": {"url": url, "headers": kept}}, headers=ANY)
    same = {"id": "hook", "webhook": {"url": {"kept": True}, "headers": kept}}

    assert fields(moved) == ["body.webhook.headers.Authorization"]
    assert admin.put("/v1/channels/hook", json=same, headers=ANY).status_code == 200


@pytest.mark.parametrize(
    "password",
    [
        SECRET,
        {"value": SECRET, "kept": True},
        {"kept": True},
        {"sealed": "gAAAAABl" + "x" * 80},
        {"value": SECRET, "valve": SECRET},
        {"value": [SECRET]},
        {},
    ],
)
def test_no_secret_is_in_the_answer_to_a_mistake(sqlite_api: Api, password: Any) -> None:
    answer = sqlite_api.as_(Role.ADMIN).post("/v1/channels", json=mail(password=password))

    assert answer.status_code == 422
    assert SECRET not in answer.text
    assert all(field.startswith("body.smtp.password") for field in fields(answer))
    assert sqlite_api.outbox() == []


@pytest.mark.parametrize("url", ["http://a..b/hunter2", "file:///etc/hunter2", "http://{{ host }}/hunter2"])
def test_a_channel_that_could_never_send_is_refused_when_it_is_posted(api: Api, url: str) -> None:
    answer = api.as_(Role.ADMIN).post("/v1/channels", json={"id": "hook", "webhook": {"url": {"value": url}}})

    assert (answer.status_code, fields(answer)) == (422, ["body.webhook"])
    assert "must start with http:// or https:// and name a host" in answer.text
    assert "hunter2" not in answer.text

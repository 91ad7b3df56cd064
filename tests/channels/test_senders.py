import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline.channels.base import ChannelMessage, NotDelivered
from pipeline.channels.compose import AlertGroup, compose
from pipeline.channels.factory import open_channel
from schemas.action import ActionReason
from schemas.channel import Channel, Secret
from tests.support.channels.alerts import alert_event
from tests.support.channels.certificates import server_context
from tests.support.channels.receivers import HttpReceiver, MailServer, http_receiver, mail_server

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as server:
        yield server


def sent(document: dict[str, Any], ca_file: Path | None = None, secrets: dict[str, str] | None = None) -> str:
    """Send the usual message through a channel whose secrets are given by name."""
    channel = Channel.model_validate({"id": "c", "timeout": "2s"} | document)
    opened = open_channel(channel, lambda secret: (secrets or {})[secret.file or ""], ca_file)
    return opened.send(message_for(channel))


def message_for(channel: Channel) -> ChannelMessage:
    message, note = compose(AlertGroup(KEY, (alert_event(),)), channel)
    assert note == ""
    return message


def webhook(receiver: HttpReceiver, **changes: Any) -> str:
    secrets = {"url": f"http://{receiver.address}/hook/hunter2?token=hunter3", "auth": "Bearer hunter4"}
    document = {"url": {"file": "url"}, "headers": {"Authorization": {"file": "auth"}}}
    return sent({"webhook": document | changes}, secrets=secrets)


def mail(server: MailServer, ca_file: Path | None = None, **changes: Any) -> str:
    smtp = {
        "host": "127.0.0.1",
        "port": server.port,
        "security": "none",
        "sender": "cinnamon@example.org",
        "recipients": ["ops@example.org"],
    }
    return sent({"smtp": smtp | changes}, ca_file, {"password": "hunter2"})


# webhook


def test_a_webhook_gets_the_document_with_its_key(receiver: HttpReceiver) -> None:
    assert webhook(receiver) == ""
    (request,) = receiver.requests
    assert request.path == "/hook/hunter2?token=hunter3"
    assert request.headers["Idempotency-Key"] == KEY
    assert request.headers["Authorization"] == "Bearer hunter4"
    document = orjson.loads(request.body)
    assert document["key"] == KEY
    assert [(alert["policy"], alert["value"]) for alert in document["alerts"]] == [("cpu-high", 91.5)]


@pytest.mark.parametrize(
    ("status", "reason", "can_retry"),
    [
        (400, ActionReason.REJECTED, False),
        (401, ActionReason.AUTHENTICATION, False),
        (403, ActionReason.AUTHENTICATION, False),
        (404, ActionReason.REJECTED, False),
        (408, ActionReason.UNAVAILABLE, True),
        (429, ActionReason.THROTTLED, True),
        (500, ActionReason.UNAVAILABLE, True),
        (501, ActionReason.REJECTED, False),
        (503, ActionReason.UNAVAILABLE, True),
        (302, ActionReason.REJECTED, False),
    ],
)
def test_a_status_says_whether_to_try_again(
    receiver: HttpReceiver, status: int, reason: ActionReason, can_retry: bool
) -> None:
    receiver.status = status
    receiver.headers = {"Retry-After": "7", "Location": f"http://{receiver.address}/elsewhere"}
    with pytest.raises(NotDelivered, match=f"answered {status}") as caught:
        webhook(receiver)
    assert (caught.value.reason, caught.value.can_retry) == (reason, can_retry)
    assert caught.value.retry_after_s == (7.0 if can_retry else None)
    assert len(receiver.requests) == 1, "a redirect was followed"


def test_a_server_that_hangs_is_given_up(receiver: HttpReceiver) -> None:
    receiver.hangs = threading.Event()
    secrets = {"url": f"http://{receiver.address}/"}
    with pytest.raises(NotDelivered, match="in time") as caught:
        sent({"webhook": {"url": {"file": "url"}}, "timeout": "200ms"}, secrets=secrets)
    assert (caught.value.reason, caught.value.can_retry) == (ActionReason.TIMEOUT, True)


@pytest.mark.parametrize("kind", ["webhook", "apprise"])
def test_nobody_there_can_be_tried_again_and_no_secret_is_told(kind: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused at once
        scheme = "http" if kind == "webhook" else "json"
        url = f"{scheme}://user:hunter2@127.0.0.1:{taken.getsockname()[1]}/hunter3"
        with pytest.raises(NotDelivered, match=r"was not reached|did not take the message") as caught:
            sent({kind: {"url": {"file": "url"}}}, secrets={"url": url})
    assert (caught.value.reason, caught.value.can_retry) == (ActionReason.CONNECTION, True)
    assert "hunter" not in repr(caught.value)


def test_a_webhook_with_an_unknown_certificate_is_not_trusted(receiver: HttpReceiver, tmp_path: Path) -> None:
    context, ca_file = server_context(tmp_path)
    with mail_server(context=context, is_tls=True) as server:  # its greeting is no HTTP, but TLS comes first
        secrets = {"url": f"https://127.0.0.1:{server.port}/hunter2"}
        with pytest.raises(NotDelivered, match="no secure connection: CERTIFICATE_VERIFY_FAILED") as caught:
            sent({"webhook": {"url": {"file": "url"}}}, secrets=secrets)
        assert (caught.value.reason, caught.value.can_retry) == (ActionReason.CONFIGURATION, False)
        with pytest.raises(NotDelivered, match="not reached"):
            sent({"webhook": {"url": {"file": "url"}}}, ca_file, secrets)


@pytest.mark.parametrize("url", ["ftp://hunter2/x", "hunter2", "http://", "http://[hunter2/"])
def test_a_secret_that_is_no_url_is_a_mistake_of_the_channel(url: str) -> None:
    with pytest.raises(NotDelivered, match="channel c: ") as caught:
        sent({"webhook": {"url": {"file": "url"}}}, secrets={"url": url})
    assert (caught.value.reason, caught.value.can_retry) == (ActionReason.CONFIGURATION, False)
    assert "hunter2" not in repr(caught.value)


def test_a_missing_secret_is_a_mistake_of_the_channel() -> None:
    def missing(_: Secret) -> str:
        raise ValueError("there is no file slack-url in /etc/secrets")

    channel = Channel.model_validate({"id": "c", "apprise": {"url": {"file": "slack-url"}}})
    with pytest.raises(NotDelivered, match="channel c: there is no file slack-url") as caught:
        open_channel(channel, missing)
    assert caught.value.reason is ActionReason.CONFIGURATION


@pytest.mark.parametrize("scheme", ["http", "json"])
def test_no_secret_is_logged_at_any_level(
    receiver: HttpReceiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setattr(logging.getLogger("urllib3.connectionpool"), "level", logging.NOTSET)
    caplog.set_level(0)
    caplog.set_level(0, "urllib3")
    kind = "webhook" if scheme == "http" else "apprise"
    secrets = {"url": f"{scheme}://{receiver.address}/hunter2?x=hunter3"}
    assert sent({kind: {"url": {"file": "url"}}}, secrets=secrets) == ""
    assert receiver.requests[0].path.startswith("/hunter2")
    assert "hunter" not in caplog.text


# apprise


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("json://ADDRESS/hook", "/hook"),
        ("ntfy://ADDRESS/topic", "/"),  # push
        ("gotify://ADDRESS/A1234567890bcde", "/message"),  # push
        ("mmost://ADDRESS/3ccdd113474722377935511fc85d3dd4", "/hooks/3ccdd113474722377935511fc85d3dd4"),  # as Slack
        ("rocket://ADDRESS/#channel?webhook=a/b&mode=webhook", "/hooks/a/b"),  # as Slack
        ("smseagle://token@ADDRESS/491700000000", "/jsonrpc/sms"),  # SMS
    ],
)
def test_a_service_of_apprise_gets_the_text_with_its_key(receiver: HttpReceiver, url: str, path: str) -> None:
    receiver.answer = b'{"success": true, "result": {"status": "ok"}}'
    assert sent({"apprise": {"url": {"file": "url"}}}, secrets={"url": url.replace("ADDRESS", receiver.address)}) == ""
    assert path in [request.path.split("?")[0] for request in receiver.requests]
    assert any(KEY.encode() in request.body and b"CPU too high" in request.body for request in receiver.requests)


def test_teams_gets_the_text_with_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, ca_file = server_context(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca_file))
    with http_receiver(context) as teams:
        secrets = {"url": f"workflows://{teams.address}/643b1669/a1b2c3"}
        assert sent({"apprise": {"url": {"file": "url"}}}, secrets=secrets) == ""
    (request,) = teams.requests
    assert request.path.startswith("/workflows/643b1669/triggers/manual/paths/invoke")
    assert KEY.encode() in request.body
    assert b"AdaptiveCard" in request.body


@pytest.mark.parametrize(
    ("status", "reason", "can_retry"),
    [
        (429, ActionReason.THROTTLED, True),
        (503, ActionReason.UNAVAILABLE, True),
        (404, ActionReason.REJECTED, False),
        (401, ActionReason.AUTHENTICATION, False),
    ],
)
@pytest.mark.parametrize("scheme", ["json", "gotify", "mmost"])
def test_the_status_of_a_service_is_known(
    receiver: HttpReceiver,
    caplog: pytest.LogCaptureFixture,
    scheme: str,
    status: int,
    reason: ActionReason,
    can_retry: bool,
) -> None:
    receiver.status = status
    caplog.set_level("DEBUG")
    url = f"{scheme}://{receiver.address}/hunter2hunter2hunter2"
    with pytest.raises(NotDelivered, match=f"answered {status}") as caught:
        sent({"apprise": {"url": {"file": "url"}}}, secrets={"url": url})
    assert (caught.value.reason, caught.value.can_retry) == (reason, can_retry)
    assert "hunter2" not in repr(caught.value)
    assert "hunter2" not in "".join(
        record.getMessage() for record in caplog.records if record.name != "urllib3.connectionpool"
    )


@pytest.mark.parametrize("url", ["nonsense://hunter2", "slack://", "syslog://hunter2", "hunter2"])
def test_a_service_that_there_is_not_is_a_mistake_of_the_channel(url: str) -> None:
    with pytest.raises(NotDelivered, match="the URL names") as caught:
        sent({"apprise": {"url": {"file": "url"}}}, secrets={"url": url})
    assert (caught.value.reason, caught.value.can_retry) == (ActionReason.CONFIGURATION, False)
    assert "hunter2" not in repr(caught.value)


# e-mail


def test_a_mail_has_the_key_as_its_id() -> None:
    with mail_server() as server:
        assert mail(server) == ""
    (found,) = server.mails
    assert found["Message-ID"] == f"<{KEY}@example.org>"
    assert found["Subject"] == "[CRITICAL] ns/mci/web-1: cpu-high"
    assert found["To"] == "ops@example.org"
    assert "CPU too high" in found.get_content()


def test_a_mail_goes_to_the_steps_recipients() -> None:
    with mail_server() as server:
        channel = Channel.model_validate(
            {
                "id": "c",
                "smtp": {
                    "host": "127.0.0.1",
                    "port": server.port,
                    "security": "none",
                    "sender": "a@example.org",
                    "recipients": ["b@example.org"],
                },
            }
        )
        announcement = AlertGroup(KEY, (alert_event(),), recipients=("chief@example.org",))
        open_channel(channel, lambda _: "").send(compose(announcement, channel)[0])
    assert server.recipients == [["chief@example.org"]]


def test_a_mail_goes_encrypted_and_logged_in(tmp_path: Path) -> None:
    context, ca_file = server_context(tmp_path)
    login = {"username": "cinnamon", "password": {"file": "password"}}
    with mail_server(context=context, user=("cinnamon", "hunter2")) as server:
        mail(server, ca_file, security="starttls", **login)
    with mail_server(context=context, is_tls=True) as over_tls:
        mail(over_tls, ca_file, security="tls")
    assert len(server.mails) == len(over_tls.mails) == 1


def test_a_wrong_password_is_no_reason_to_try_again(tmp_path: Path) -> None:
    context, ca_file = server_context(tmp_path)
    login = {"username": "cinnamon", "password": {"file": "password"}}
    with (
        mail_server(context=context, user=("cinnamon", "another")) as server,
        pytest.raises(NotDelivered, match="answered 535") as caught,
    ):
        mail(server, ca_file, security="starttls", **login)
    assert (caught.value.reason, caught.value.can_retry) == (ActionReason.AUTHENTICATION, False)
    assert "hunter2" not in repr(caught.value)
    assert not server.mails


def test_a_mail_server_that_is_not_trusted_gets_nothing(tmp_path: Path) -> None:
    context, _ = server_context(tmp_path)
    with mail_server(context=context) as server, pytest.raises(NotDelivered, match="no secure") as caught:
        mail(server, security="starttls")
    assert (caught.value.reason, caught.value.can_retry) == (ActionReason.CONFIGURATION, False)
    assert not server.mails


def test_a_mail_server_without_encryption_gets_nothing() -> None:
    with mail_server() as server, pytest.raises(NotDelivered, match="STARTTLS") as caught:
        mail(server, security="starttls")
    assert (caught.value.reason, caught.value.can_retry) == (ActionReason.CONFIGURATION, False)
    assert not server.mails


@pytest.mark.parametrize(
    ("reply", "reason", "can_retry"),
    [
        ("451 try later", ActionReason.UNAVAILABLE, True),
        ("554 spam", ActionReason.REJECTED, False),
    ],
)
def test_a_reply_says_whether_to_try_again(reply: str, reason: ActionReason, can_retry: bool) -> None:
    with mail_server() as server:
        server.reply = reply
        with pytest.raises(NotDelivered, match=reply) as caught:
            mail(server)
    assert (caught.value.reason, caught.value.can_retry) == (reason, can_retry)


def test_a_refused_recipient_does_not_keep_it_from_the_others() -> None:
    recipients = ["gone@example.org", "ops@example.org"]
    with mail_server() as server:
        server.refused = {"gone@example.org": "550 no such user"}
        assert mail(server, recipients=recipients) == "1 of 2 recipients were refused"
        assert server.recipients == [["ops@example.org"]]
        server.refused = dict.fromkeys(recipients, "550 no such user") | {"ops@example.org": "450 mailbox is busy"}
        with pytest.raises(NotDelivered, match="450 mailbox is busy") as caught:
            mail(server, recipients=recipients)
    assert caught.value.can_retry


def test_a_mail_server_that_hangs_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        smtp = {
            "host": "127.0.0.1",
            "port": silent.getsockname()[1],
            "security": "none",
            "sender": "a@b",
            "recipients": ["c@d"],
        }
        with pytest.raises(NotDelivered, match="in time") as caught:
            sent({"smtp": smtp, "timeout": "200ms"})
    assert (caught.value.reason, caught.value.can_retry) == (ActionReason.TIMEOUT, True)

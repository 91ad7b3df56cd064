"""A channel that cannot work: its mistake is refused when it is posted, and no failure of a send ends anything."""

from typing import Any

import pytest

from pipeline.channels.base import ChannelMessage, NotDelivered
from pipeline.channels.factory import CHANNELS, open_channel
from schemas.action import ActionReason
from schemas.channel import Channel

LONG = "a" * 64
SMTP = {"sender": "a@example.org", "recipients": ["b@example.org"]}
MESSAGE = ChannelMessage(key="k", subject="s", text="t", document=b"{}")


def channel(**section: Any) -> Channel:
    return Channel.model_validate({"id": "c", **section})


@pytest.mark.parametrize("host", ["a..b", ".", "", f"{LONG}.example.org", "-a.org", "a:b", "a." * 127 + "org"])
def test_a_mail_server_that_no_name_can_have_is_refused_when_it_is_posted(host: str) -> None:
    with pytest.raises(ValueError, match=r"smtp\.host"):
        channel(smtp={**SMTP, "host": host})


@pytest.mark.parametrize("host", ["localhost", "mail.example.org", "mail.example.org.", "10.0.0.1", "::1", "my_host"])
def test_a_mail_server_that_may_be_there_is_taken(host: str) -> None:
    assert channel(smtp={**SMTP, "host": host}).type == "smtp"


@pytest.mark.parametrize(
    "url",
    [
        "http://a..b/",
        "http://./",
        f"https://{LONG}.example.org/",
        "http://[::g]/",
        "http://[::1/",
        "http://example.org:99999/",
        "file:///etc/passwd",
        "http:///hook",
        "http://{{ host }}/",
        "http://ex\u2100mple..org/",
    ],
)
def test_a_webhook_without_a_server_is_a_mistake_of_the_channel(url: str) -> None:
    with pytest.raises(NotDelivered, match="the URL must start with") as failure:
        open_channel(channel(webhook={"url": {"file": "url"}}), lambda _: url)

    assert (failure.value.reason, failure.value.can_retry) == (ActionReason.CONFIGURATION, False)
    assert url not in failure.value.text


@pytest.mark.parametrize("error", [UnicodeError("label too long"), ValueError("x"), KeyError("x"), RecursionError("x")])
def test_whatever_a_library_raises_is_an_outcome_of_the_send(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(CHANNELS["webhook"]):  # type: ignore[misc]
        def send(self, _message: ChannelMessage) -> str:
            raise error

    monkeypatch.setitem(CHANNELS, "webhook", Failing)
    opened = open_channel(channel(webhook={"url": {"file": "url"}}), lambda _: "http://127.0.0.1:9/hunter2")

    with pytest.raises(NotDelivered, match=rf"the channel failed \({type(error).__name__}\)") as failure:
        opened.send(MESSAGE)
    assert failure.value.can_retry

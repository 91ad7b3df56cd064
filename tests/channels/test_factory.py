"""Every kind of channel is known by its class alone: a new one is seen by all that goes through them."""

from typing import Any, ClassVar, Generic, Self

import pytest
from cryptography.fernet import Fernet
from pydantic import Field

from pipeline.channels.base import Channel, ChannelContext, ChannelMessage
from pipeline.channels.factory import CHANNELS, open_channel, reference
from pipeline.control.channel_secrets import GivenSecret, KeptSecretError, files_of, seal_secrets, without_secrets
from pipeline.runtime.secrets.sealing import SecretBox
from schemas.channel import Channel as ChannelDocument
from schemas.channel import ChannelSection, Secret, SecretT

MESSAGE = ChannelMessage("key", "subject", "text", b"{}")


class Pager(ChannelSection[SecretT], Generic[SecretT]):
    """A pager."""

    destination: ClassVar = ("number",)

    number: str = Field(description="Whom to page.")
    codes: dict[str, SecretT] = Field(default={}, description="What opens it.")


class PagerDocument(ChannelDocument[SecretT], Generic[SecretT]):
    pager: Pager[SecretT] | None = None


class PagerChannel(Channel[Pager[Secret]]):
    kind: ClassVar = "pager"
    example: ClassVar = {"number": "1"}

    def __init__(self, code: str) -> None:
        self._code = code

    @classmethod
    def open(cls, section: Pager[Secret], context: ChannelContext) -> Self:
        return cls(context.secret(section.codes["pin"]))

    def send(self, message: ChannelMessage) -> str:
        return f"{message.subject} with {self._code}"


@pytest.fixture
def pager(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setitem(CHANNELS, PagerChannel.kind, PagerChannel)
    return {"id": "p", "pager": {"number": "1", "codes": {"pin": {"value": "hunter2"}}}}


def given(document: dict[str, Any]) -> Any:
    return PagerDocument[GivenSecret].model_validate(document)


def test_every_kind_in_a_document_can_be_opened() -> None:
    assert set(CHANNELS) == set(ChannelDocument.sections())


@pytest.mark.parametrize("kind", CHANNELS)
def test_the_example_of_a_kind_is_a_channel(kind: str) -> None:
    channel = ChannelDocument.model_validate({"id": "c", kind: CHANNELS[kind].example})
    assert channel.type == kind


def test_the_reference_says_of_each_kind_what_it_needs() -> None:
    found = {each.kind: each for each in reference()}
    assert set(found) == set(CHANNELS)
    assert found["smtp"].summary == "E-mail through a mail server."
    assert found["smtp"].fields["host"] == "The mail server."
    secrets = [found[kind].secrets for kind in ("smtp", "apprise", "webhook")]
    assert secrets == [("password",), ("url",), ("url", "headers.*")]


def test_a_new_kind_is_opened_from_its_document_with_its_secrets_hidden(pager: dict[str, Any]) -> None:
    pager["pager"]["codes"]["pin"] = {"file": "pin"}
    opened = open_channel(PagerDocument.model_validate(pager), lambda _: "hunter2")
    assert opened.send(MESSAGE) == "subject with ***"


def test_a_new_kind_is_in_schema_and_reference(pager: dict[str, Any]) -> None:
    assert "Pager" in PagerDocument.model_json_schema()["$defs"]
    assert "GivenSecret" in PagerDocument[GivenSecret].model_json_schema()["$defs"]
    assert next(each for each in reference(PagerDocument) if each.kind == "pager").secrets == ("codes.*",)
    with pytest.raises(ValueError, match="needs exactly one of smtp, apprise, webhook, pager"):
        PagerDocument.model_validate({"id": "p"})
    with pytest.raises(ValueError, match="html: only with smtp"):
        PagerDocument.model_validate({"id": "p", "pager": {"number": "1"}, "template": {"html": "x"}})


def test_secrets_of_a_new_kind_are_sealed_kept_and_never_shown(pager: dict[str, Any]) -> None:
    box = SecretBox([Fernet.generate_key().decode()], where="here")
    stored = seal_secrets(given(pager), None, box)
    assert box.open(stored["pager"]["codes"]["pin"]["sealed"]) == "hunter2"
    kept = {"number": "1", "codes": {"pin": {"kept": True}}}
    assert seal_secrets(given({"id": "p", "pager": kept}), stored, box) == stored
    with pytest.raises(KeptSecretError, match=r"pager\.codes\.pin: must be given again"):
        seal_secrets(given({"id": "p", "pager": {**kept, "number": "2"}}), stored, box)
    assert without_secrets(stored, PagerDocument)["pager"]["codes"] == {"pin": {"kept": True}}


def test_files_of_a_new_kind_are_named(pager: dict[str, Any]) -> None:
    pager["pager"]["codes"]["pin"] = {"file": "pin"}
    assert files_of(given(pager)) == ["pager.codes.pin"]

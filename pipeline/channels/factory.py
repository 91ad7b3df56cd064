"""The kinds of channels there are, and one channel from its document, with its secrets opened."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipeline.channels.apprise_channel import AppriseChannel
from pipeline.channels.base import Channel, ChannelContext, ChannelMessage, NotDelivered, OpenSecret, Sender
from pipeline.channels.smtp import SmtpChannel
from pipeline.channels.webhook import WebhookChannel
from schemas.action import ActionReason
from schemas.channel import Channel as ChannelDocument
from schemas.channel import Secret

__all__ = ["CHANNELS", "ChannelReference", "open_channel", "reference"]

CHANNELS: Final[dict[str, type[Channel[Any]]]] = {
    each.kind: each for each in (SmtpChannel, AppriseChannel, WebhookChannel)
}
"""Every kind of channel, by the field of a document that describes it."""
TALKATIVE: Final = ("urllib3.connectionpool", "requests_oauthlib", "oauthlib")
"""Loggers of libraries that write addresses or tokens, with their secrets."""
HIDDEN: Final = "***"
SHORTEST_HIDDEN: Final = 4


class ChannelReference(NamedTuple):
    """What the reference says of one kind of channel."""

    kind: str
    summary: str
    fields: dict[str, str]
    """What each field of its section is for."""
    secrets: tuple[str, ...]
    """Which of them are secrets, as ``headers.*``."""
    example: dict[str, Any]


def reference(document: type[ChannelDocument[Any]] = ChannelDocument) -> Iterator[ChannelReference]:
    """Yield what there is to know of each kind of channel."""
    sections = document.sections()
    for kind, channel in CHANNELS.items():
        section = sections[kind]
        fields = {name: field.description or "" for name, field in section.model_fields.items()}
        secrets = tuple(".".join(path) for path in section.secret_fields())
        summary = (section.__doc__ or "").partition("\n")[0]
        yield ChannelReference(kind, summary, fields, secrets, channel.example)


def open_channel(document: ChannelDocument, secret: OpenSecret, ca_file: Path | None = None) -> Sender:
    """Return the channel that a document describes; nothing is connected yet.

    Parameters
    ----------
    document
        The channel.
    secret
        Opens its secrets.
    ca_file
        PEM file of the authorities that mail servers and webhooks are trusted by; None: the system's.

    Raises
    ------
    NotDelivered
        With the reason CONFIGURATION: a secret is missing, or not of the form that it must have.
    """
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    opened: list[str] = []

    def opening(each: Secret) -> str:
        value = secret(each)
        opened.append(value)
        return value

    context = ChannelContext(opening, document.timeout.total_seconds(), ca_file)
    try:
        channel = CHANNELS[document.type].open(document.section, context)
    except ValueError as error:
        text = _redacted(f"channel {document.id}: {error}", opened)
        raise NotDelivered(ActionReason.CONFIGURATION, text, can_retry=False) from None
    return _Redacting(channel, tuple(opened))


class _Redacting:
    """A channel whose failures never hold its secrets, whatever a server answers.

    Parameters
    ----------
    channel
        What sends.
    secrets
        Its secrets.
    """

    def __init__(self, channel: Sender, secrets: tuple[str, ...]) -> None:
        self._channel = channel
        self._secrets = secrets

    def send(self, message: ChannelMessage) -> str:
        """Send it (see `Sender`)."""
        try:
            return _redacted(self._channel.send(message), self._secrets)
        except NotDelivered as error:
            raise NotDelivered(
                error.reason,
                _redacted(error.text, self._secrets),
                can_retry=error.can_retry,
                retry_after_s=error.retry_after_s,
            ) from None
        except Exception as error:  # noqa: BLE001  libraries fail in ways of their own: that is an outcome, and ends nothing
            text = f"the channel failed ({type(error).__name__})"
            raise NotDelivered(ActionReason.CONNECTION, text, can_retry=True) from None


def _redacted(text: str, secrets: tuple[str, ...] | list[str]) -> str:
    """Return a text with every secret in it hidden."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST_HIDDEN:
            text = text.replace(secret, HIDDEN)
    return text

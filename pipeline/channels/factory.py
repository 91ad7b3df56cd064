"""A channel from its document, with its secrets opened."""

import logging
from collections.abc import Callable
from pathlib import Path

from pipeline.channels.apprise_channel import AppriseChannel
from pipeline.channels.base import Channel, ChannelMessage, NotDelivered
from pipeline.channels.smtp import SmtpChannel
from pipeline.channels.webhook import WebhookChannel
from schemas.action import ActionReason
from schemas.channel import Channel as ChannelDocument
from schemas.channel import Secret

__all__ = ["OpenSecret", "open_channel"]

OpenSecret = Callable[[Secret], str]
"""Gives a secret's value; raises ValueError, with nothing of the secret."""
TALKATIVE = ("urllib3.connectionpool", "requests_oauthlib", "oauthlib")
"""Loggers of libraries that write addresses or tokens, with their secrets."""
HIDDEN = "***"
SHORTEST_HIDDEN = 4


def open_channel(document: ChannelDocument, secret: OpenSecret, ca_file: Path | None = None) -> Channel:
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

    try:
        channel = _channel(document, opening, ca_file)
    except ValueError as error:
        text = _redacted(f"channel {document.id}: {error}", opened)
        raise NotDelivered(ActionReason.CONFIGURATION, text, can_retry=False) from None
    return _Redacting(channel, tuple(opened))


def _channel(document: ChannelDocument, secret: OpenSecret, ca_file: Path | None) -> Channel:
    timeout_s = document.timeout.total_seconds()
    if document.smtp is not None:
        smtp = document.smtp
        return SmtpChannel(
            host=smtp.host,
            port=smtp.server_port,
            security=smtp.security,
            username=smtp.username,
            password=None if smtp.password is None else secret(smtp.password),
            sender=smtp.sender,
            recipients=smtp.recipients,
            timeout_s=timeout_s,
            ca_file=ca_file,
        )
    if document.apprise is not None:
        return AppriseChannel(secret(document.apprise.url), timeout_s=timeout_s)
    if document.webhook is None:
        raise ValueError("has no type")
    headers = {name: secret(value) for name, value in document.webhook.headers.items()}
    return WebhookChannel(secret(document.webhook.url), headers, timeout_s=timeout_s, ca_file=ca_file)


class _Redacting:
    """A channel whose failures never hold its secrets, whatever a server answers.

    Parameters
    ----------
    channel
        What sends.
    secrets
        Its secrets.
    """

    def __init__(self, channel: Channel, secrets: tuple[str, ...]) -> None:
        self._channel = channel
        self._secrets = secrets

    def send(self, message: ChannelMessage) -> str:
        """Send it (see `Channel`)."""
        try:
            return _redacted(self._channel.send(message), self._secrets)
        except NotDelivered as error:
            raise NotDelivered(
                error.reason,
                _redacted(error.text, self._secrets),
                can_retry=error.can_retry,
                retry_after_s=error.retry_after_s,
            ) from None


def _redacted(text: str, secrets: tuple[str, ...] | list[str]) -> str:
    """Return a text with every secret in it hidden."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST_HIDDEN:
            text = text.replace(secret, HIDDEN)
    return text

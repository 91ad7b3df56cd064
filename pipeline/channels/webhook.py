"""A JSON document sent with POST."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import urlsplit

import requests

from pipeline.channels.base import Channel, ChannelContext, ChannelMessage, NotDelivered
from pipeline.channels.http_status import not_delivered, retry_after_s
from schemas.action import ActionReason
from schemas.channel import Webhook, checked_host

__all__ = ["WebhookChannel"]


class WebhookChannel(Channel[Webhook]):
    """Posts a message's document; the key goes along as the header Idempotency-Key.

    Redirects are not followed, and of the answer only its status and Retry-After are read.

    Parameters
    ----------
    url
        Where it is sent. It may hold a secret, as all of the following.
    headers
        Sent along.
    timeout_s
        For the connection, and for the answer.
    ca_file
        PEM file of the authorities to trust; None: the system's.

    Raises
    ------
    ValueError
        When the URL is none, or a header's value has line breaks; the text does not repeat it.
    """

    kind: ClassVar = "webhook"
    example: ClassVar = {"url": {"file": "hook-url"}, "headers": {"Authorization": {"file": "hook-token"}}}

    def __init__(self, url: str, headers: Mapping[str, str], *, timeout_s: float, ca_file: Path | None = None) -> None:
        if not _names_a_server(url):
            raise ValueError("the URL must start with http:// or https:// and name a host")
        for name, value in headers.items():
            if not (value.isascii() and value.isprintable()):
                raise ValueError(f"header {name} must be printable ASCII")
        self._url = url
        self._headers = dict(headers)
        self._timeout_s = timeout_s
        self._verify = True if ca_file is None else str(ca_file)

    @classmethod
    def open(cls, section: Webhook, context: ChannelContext) -> Self:
        """Return the channel of a section (see `Channel.open`)."""
        headers = {name: context.secret(value) for name, value in section.headers.items()}
        return cls(context.secret(section.url), headers, timeout_s=context.timeout_s, ca_file=context.ca_file)

    def send(self, message: ChannelMessage) -> str:
        """Post it (see `Sender`)."""
        headers = {"Content-Type": "application/json", **self._headers, "Idempotency-Key": message.key}
        try:
            with requests.post(
                self._url,
                data=message.document,
                headers=headers,
                timeout=self._timeout_s,
                verify=self._verify,
                allow_redirects=False,
                stream=True,  # the answer's body is not read
            ) as answer:
                status, asked = answer.status_code, answer.headers.get("Retry-After")
        except requests.Timeout:
            raise NotDelivered(ActionReason.TIMEOUT, "the server did not answer in time", can_retry=True) from None
        except requests.exceptions.SSLError as error:
            raise NotDelivered(ActionReason.CONFIGURATION, _tls_text(error), can_retry=False) from None
        except requests.RequestException as error:  # its text holds the URL
            text = f"the server was not reached ({type(error).__name__})"
            raise NotDelivered(ActionReason.CONNECTION, text, can_retry=True) from None
        failure = not_delivered(status, retry_after_s(asked))
        if failure is not None:
            raise failure
        return ""


def _names_a_server(url: str) -> bool:
    """Return whether a URL leads to an HTTP server that may be there."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        checked_host(host if ":" in host else host.encode("idna").decode())
    except ValueError:  # also of a port out of range, and of names that IDNA refuses
        return False
    return parts.scheme in {"http", "https"} and port != 0


def _tls_text(error: BaseException) -> str:
    """Return why TLS failed; what requests says holds the URL."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        reason = getattr(cause.args[0], "reason", None) if cause.args else None
        cause = reason if isinstance(reason, BaseException) else cause.__cause__ or cause.__context__
    return "no secure connection" if cause is None else f"no secure connection: {cause.reason or 'TLS'}"

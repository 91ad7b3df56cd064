"""E-mail through a mail server."""

import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from typing import ClassVar, Literal, Self

from pipeline.channels.base import Channel, ChannelContext, ChannelMessage, NotDelivered
from schemas.action import ActionReason
from schemas.channel import Smtp

__all__ = ["SmtpChannel"]

LONGEST_REPLY = 200


@dataclass(frozen=True, slots=True)
class SmtpChannel(Channel[Smtp]):
    """Sends mail; its Message-ID is made of the message's key, so that one sent twice is the same for the reader.

    Parameters
    ----------
    host, port
        The mail server.
    security
        How the connection is encrypted.
    username, password
        None: no login.
    sender, recipients
        Addresses.
    timeout_s
        For each answer of the server.
    ca_file
        PEM file of the authorities to trust; None: the system's.
    """

    kind: ClassVar = "smtp"
    example: ClassVar = {
        "host": "smtp.example.org",
        "username": "cinnamon",
        "password": {"file": "smtp-password"},
        "sender": "cinnamon@example.org",
        "recipients": ["ops@example.org"],
    }

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    username: str | None
    password: str | None = field(repr=False)
    sender: str
    recipients: tuple[str, ...]
    timeout_s: float
    ca_file: Path | None = None

    @classmethod
    def open(cls, section: Smtp, context: ChannelContext) -> Self:
        """Return the channel of a section (see `Channel.open`)."""
        return cls(
            host=section.host,
            port=section.server_port,
            security=section.security,
            username=section.username,
            password=None if section.password is None else context.secret(section.password),
            sender=section.sender,
            recipients=section.recipients,
            timeout_s=context.timeout_s,
            ca_file=context.ca_file,
        )

    def send(self, message: ChannelMessage) -> str:
        """Send it (see `Sender`); a recipient that the server refuses does not keep it from the others."""
        mail = self._mail(message)
        try:
            with self._session() as server:
                refused = server.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            raise _refused(*min(error.recipients.values())) from None  # one that may get it later is worth a retry
        except smtplib.SMTPResponseException as error:
            raise _refused(error.smtp_code, error.smtp_error) from None
        except smtplib.SMTPNotSupportedError as error:
            text = f"the mail server cannot do it: {error}"[:LONGEST_REPLY]
            raise NotDelivered(ActionReason.CONFIGURATION, text, can_retry=False) from None
        except ssl.SSLError as error:
            text = f"no secure connection: {error.reason or 'TLS'}"
            raise NotDelivered(ActionReason.CONFIGURATION, text, can_retry=False) from None
        except (OSError, smtplib.SMTPException) as error:
            raise _not_reached(error) from None
        return f"{len(refused)} of {len(mail['To'].addresses)} recipients were refused" if refused else ""

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        """Yield a connection that is encrypted and logged in as the channel says; how it ends changes nothing."""
        context = ssl.create_default_context(cafile=self.ca_file)
        with closing(self._connected(context)) as server:
            if self.security == "starttls":
                server.starttls(context=context)
            if self.username is not None and self.password is not None:
                server.login(self.username, self.password)
            yield server
            with suppress(smtplib.SMTPException, OSError):
                server.quit()

    def _connected(self, context: ssl.SSLContext) -> smtplib.SMTP:
        name = socket.gethostname()  # not smtplib's own choice, which asks the DNS for as long as that takes
        if self.security == "tls":
            return smtplib.SMTP_SSL(self.host, self.port, name, timeout=self.timeout_s, context=context)
        return smtplib.SMTP(self.host, self.port, name, timeout=self.timeout_s)

    def _mail(self, message: ChannelMessage) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = message.subject
        mail["From"] = self.sender
        mail["To"] = ", ".join(message.recipients or self.recipients)
        mail["Date"] = formatdate()
        mail["Message-ID"] = f"<{message.key}@{self.sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        if message.html is not None:
            mail.add_alternative(message.html, subtype="html")
        return mail


def _not_reached(error: BaseException) -> NotDelivered:
    """Return what the end of a connection means; smtplib reports a time-out as one, or as what came from it."""
    if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
        return NotDelivered(ActionReason.TIMEOUT, "the mail server did not answer in time", can_retry=True)
    text = f"the mail server was not reached ({type(error).__name__})"
    return NotDelivered(ActionReason.CONNECTION, text, can_retry=True)


def _refused(code: int, reply: bytes | str) -> NotDelivered:
    """Return what a reply of the mail server means: 4xx is only so now, 5xx stays."""
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else reply
    said = f"the mail server answered {code} {' '.join(text.split())}"[:LONGEST_REPLY]
    if code in {530, 534, 535}:
        return NotDelivered(ActionReason.AUTHENTICATION, f"the mail server answered {code}", can_retry=False)
    if 400 <= code < 500:
        return NotDelivered(ActionReason.UNAVAILABLE, said, can_retry=True)
    if code < 0:
        return NotDelivered(ActionReason.CONNECTION, "the mail server broke off", can_retry=True)
    return NotDelivered(ActionReason.REJECTED, said, can_retry=False)

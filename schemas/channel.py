"""Channels: how somebody is notified. Secrets in them are names of files, or sealed; never plain text."""

from datetime import timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from schemas.scenario import Address
from schemas.selection import Part
from schemas.trigger_policy import Duration, Id, Name

__all__ = ["Apprise", "Channel", "ChannelType", "Secret", "Smtp", "Template", "Webhook"]

ChannelType = Literal["smtp", "apprise", "webhook"]
Text = Annotated[str, Field(min_length=1, max_length=20_000)]

_DEFAULT_PORTS = {"tls": 465, "starttls": 587, "none": 25}


class Secret(Part):
    """A secret, by where it is kept. Its value is known to the worker that runs the stage act alone."""

    is_secret: ClassVar[bool] = True

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")] | None = Field(
        None, description="The name of a file in the folder act.secrets_dir of the worker."
    )
    sealed: Annotated[str, Field(pattern=r"^[A-Za-z0-9_=-]{1,20000}$")] | None = Field(
        None,
        repr=False,
        description="The secret encrypted with the key of act.secrets_key_file (Fernet), as the API writes it.",
    )

    @model_validator(mode="before")
    @classmethod
    def _no_plain_text(cls, document: object) -> object:
        if isinstance(document, str):
            raise ValueError("is a secret and must not stand here: name a file of act.secrets_dir, as {file: NAME}")  # noqa: TRY004  pydantic makes a mistake of it
        return document

    @model_validator(mode="after")
    def _kept_somewhere(self) -> Self:
        if (self.file is None) == (self.sealed is None):
            raise ValueError("needs either file or sealed")
        return self


class Smtp(Part):
    """E-mail through a mail server."""

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_-]{1,255}$")] = Field(description="The mail server.")
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] | None = Field(
        None, description="Its port; 465 with tls, 587 with starttls, else 25."
    )
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How the connection is encrypted; none only for a server of one's own."
    )
    username: Annotated[str, Field(min_length=1, max_length=320)] | None = Field(None, description="The user.")
    password: Secret | None = Field(None, description="The user's password.")
    sender: Address = Field(description="The address that it is from.")
    recipients: tuple[Address, ...] = Field(min_length=1, max_length=50, description="Who gets it.")

    @property
    def server_port(self) -> int:
        """The port that is connected to."""
        return _DEFAULT_PORTS[self.security] if self.port is None else self.port

    @model_validator(mode="after")
    def _whole_login(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together")
        if self.password is not None and self.security == "none":
            raise ValueError("security: a password is not sent over a connection that is not encrypted")
        return self


class Apprise(Part):
    """Chat, SMS, push and the rest through the apprise library."""

    url: Secret = Field(description="Apprise's URL of the service, as slack://… or ntfys://…; it carries its secrets.")


class Webhook(Part):
    """A JSON document sent with POST."""

    url: Secret = Field(description="Where it is sent, with http:// or https://.")
    headers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,100}$")], Secret] = Field(
        default={}, max_length=20, description="Headers to send along, as Authorization."
    )


class Template(Part):
    """What is written, instead of the channel's own text: Jinja, sandboxed."""

    subject: Annotated[str, Field(min_length=1, max_length=1000)] | None = Field(
        None, description="Subject or title; its line breaks become spaces."
    )
    text: Text | None = Field(None, description="The message; of a webhook the whole JSON document.")
    html: Text | None = Field(None, description="E-mail only: the same in HTML; values are escaped.")


class Channel(Part):
    """One channel: the value of ``policies`` under the key ``channel/ID``."""

    kind: Literal["channel"] = Field("channel", description="Tells channels from other policies.")
    id: Id = Field(description="Unique among channels.")
    title: Name | None = Field(None, description="What it is for, for a reader.")
    smtp: Smtp | None = Field(None, description="E-mail through a mail server.")
    apprise: Apprise | None = Field(None, description="Chat, SMS, push and the rest through apprise.")
    webhook: Webhook | None = Field(None, description="A JSON document sent with POST.")
    template: Template = Field(Template(), description="What is written.")
    timeout: Duration = Field(timedelta(seconds=10), description="How long one attempt may take.")
    attempts: int = Field(
        5, strict=True, ge=1, le=20, description="How often a message is tried, where trying again makes sense."
    )
    enabled: bool = Field(default=True, strict=True, description="Whether anything is sent.")

    @property
    def type(self) -> ChannelType:
        """Which of the three it is."""
        if self.smtp is not None:
            return "smtp"
        return "apprise" if self.apprise is not None else "webhook"

    @model_validator(mode="after")
    def _of_one_type(self) -> Self:
        if sum(each is not None for each in (self.smtp, self.apprise, self.webhook)) != 1:
            raise ValueError("needs exactly one of smtp, apprise, webhook")
        if not timedelta(milliseconds=100) <= self.timeout <= timedelta(minutes=2):
            raise ValueError("timeout: must be 100ms to 2m")
        if self.template.html is not None and self.smtp is None:
            raise ValueError("template.html: only with smtp")
        return self

"""Channels: how somebody is notified. Secrets in them are names of files, or sealed; never plain text."""

import inspect
import ipaddress
import re
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, get_args, get_origin

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import TypeVar

from schemas.scenario import Address
from schemas.selection import Part
from schemas.trigger_policy import Duration, Id, Name

__all__ = ["Apprise", "Channel", "ChannelSection", "Secret", "SecretT", "Smtp", "Template", "Webhook", "checked_host"]

Text = Annotated[str, Field(min_length=1, max_length=20_000)]

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_DEFAULT_PORTS = {"tls": 465, "starttls": 587, "none": 25}


def checked_host(host: str) -> str:
    """Return a host's name or address as it is, where one can be asked for it.

    Raises
    ------
    ValueError
        If a label is empty or longer than 63 characters, the whole is longer than 253 (RFC 1035), or it has a colon
        and is no IPv6 address; the text does not repeat it.

    Examples
    --------
    >>> checked_host("mail.example.org")
    'mail.example.org'
    """
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError:
            raise ValueError("must be a host's name or address") from None
    labels = host.removesuffix(".").split(".")
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("must be a host's name: labels of 1 to 63 letters, digits, - and _, with dots between them")
    return host


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


SecretT = TypeVar("SecretT", bound=Secret, default=Secret)
"""How secrets are written: in documents that are published as `Secret`, in requests of the API with their values."""


class ChannelSection(Part, Generic[SecretT]):
    """What a document says of one kind of channel; it stands in the field of `Channel` that has the kind's name."""

    destination: ClassVar[tuple[str, ...]] = ()
    """The fields that decide who gets to see the other secrets."""
    takes_html: ClassVar[bool] = False
    """Whether the template may have a part in HTML."""
    sends_document: ClassVar[bool] = False
    """Whether the JSON document is sent, so that the template's text must come to JSON."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__doc__ = inspect.getdoc(cls)  # so that one with its secrets in another form says the same

    @classmethod
    def secret_fields(cls) -> list[tuple[str, ...]]:
        """Return where secrets stand in it; ``*`` for every key of a mapping, as in ``("headers", "*")``."""
        return [(name, *rest) for name, field in cls.model_fields.items() for rest in _secrets_in(field.annotation)]


class Smtp(ChannelSection[SecretT], Generic[SecretT]):
    """E-mail through a mail server."""

    destination: ClassVar = ("host", "port", "security", "username")
    takes_html: ClassVar = True

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_-]{1,255}$"), AfterValidator(checked_host)] = Field(
        description="The mail server."
    )
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] | None = Field(
        None, description="Its port; 465 with tls, 587 with starttls, else 25."
    )
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How the connection is encrypted; none only for a server of one's own."
    )
    username: Annotated[str, Field(min_length=1, max_length=320)] | None = Field(None, description="The user.")
    password: SecretT | None = Field(None, description="The user's password.")
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


class Apprise(ChannelSection[SecretT], Generic[SecretT]):
    """Chat, SMS, push and the rest through the apprise library."""

    url: SecretT = Field(description="Apprise's URL of the service, as slack://… or ntfys://…; it carries its secrets.")


class Webhook(ChannelSection[SecretT], Generic[SecretT]):
    """A JSON document sent with POST."""

    destination: ClassVar = ("url",)
    sends_document: ClassVar = True

    url: SecretT = Field(description="Where it is sent, with http:// or https://.")
    headers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,100}$")], SecretT] = Field(
        default={}, max_length=20, description="Headers to send along, as Authorization."
    )


class Template(Part):
    """What is written, instead of the channel's own text: Jinja, sandboxed."""

    subject: Annotated[str, Field(min_length=1, max_length=1000)] | None = Field(
        None, description="Subject or title; its line breaks become spaces."
    )
    text: Text | None = Field(None, description="The message; of a webhook the whole JSON document.")
    html: Text | None = Field(None, description="E-mail only: the same in HTML; values are escaped.")


class Channel(Part, Generic[SecretT]):
    """One channel: the value of ``policies`` under the key ``channel/ID``."""

    kind: Literal["channel"] = Field("channel", description="Tells channels from other policies.")
    id: Id = Field(description="Unique among channels.")
    title: Name | None = Field(None, description="What it is for, for a reader.")
    smtp: Smtp[SecretT] | None = Field(None, description="E-mail through a mail server.")
    apprise: Apprise[SecretT] | None = Field(None, description="Chat, SMS, push and the rest through apprise.")
    webhook: Webhook[SecretT] | None = Field(None, description="A JSON document sent with POST.")
    template: Template = Field(Template(), description="What is written.")
    timeout: Duration = Field(timedelta(seconds=10), description="How long one attempt may take.")
    attempts: int = Field(
        5, strict=True, ge=1, le=20, description="How often a message is tried, where trying again makes sense."
    )
    enabled: bool = Field(default=True, strict=True, description="Whether anything is sent.")

    @classmethod
    def sections(cls) -> dict[str, type[ChannelSection[Any]]]:
        """Return the section of each kind of channel, by the kind's name."""
        models = {name: _section_in(field.annotation) for name, field in cls.model_fields.items()}
        return {name: model for name, model in models.items() if model is not None}

    @property
    def type(self) -> str:
        """Which kind of channel it is."""
        return next(name for name in self.sections() if getattr(self, name) is not None)

    @property
    def section(self) -> ChannelSection[SecretT]:
        """What it says of its kind."""
        found: ChannelSection[SecretT] = getattr(self, self.type)
        return found

    @model_validator(mode="after")
    def _of_one_type(self) -> Self:
        sections = self.sections()
        if sum(getattr(self, name) is not None for name in sections) != 1:
            raise ValueError(f"needs exactly one of {', '.join(sections)}")
        if not timedelta(milliseconds=100) <= self.timeout <= timedelta(minutes=2):
            raise ValueError("timeout: must be 100ms to 2m")
        if self.template.html is not None and not self.section.takes_html:
            with_html = ", ".join(name for name, section in sections.items() if section.takes_html)
            raise ValueError(f"template.html: only with {with_html}")
        return self


def _section_in(annotation: Any) -> type[ChannelSection[Any]] | None:
    """Return the section of an optional field; None for another field."""
    found = (each for each in get_args(annotation) if isinstance(each, type) and issubclass(each, ChannelSection))
    return next(found, None)


def _secrets_in(annotation: Any) -> list[tuple[str, ...]]:
    """Return where secrets stand in a value: nowhere, or it is one, or it is a mapping of them."""
    annotation = getattr(annotation, "__bound__", annotation)  # of `SecretT`, where no other secret is named
    if isinstance(annotation, type) and issubclass(annotation, Secret):
        return [()]
    inner = [path for each in get_args(annotation) for path in _secrets_in(each)]
    return [("*", *path) for path in inner] if get_origin(annotation) is dict else inner

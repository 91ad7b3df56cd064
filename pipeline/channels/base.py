"""What every channel can do, and how it says that it could not."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from schemas.action import ActionReason
from schemas.channel import ChannelSection, Secret
from schemas.severity import LevelName

__all__ = ["Channel", "ChannelContext", "ChannelMessage", "NotDelivered", "OpenSecret", "Sender"]


@dataclass(frozen=True, slots=True)
class ChannelMessage:
    """What a channel is given to send.

    Parameters
    ----------
    key
        Identifies it: the same whenever it is sent again.
    subject, text, html
        For readers; html is None where there is only text.
    document
        For programs: a JSON document.
    level
        The most serious level in it; None when all is over.
    recipients
        Addresses instead of the channel's own; empty for those.
    """

    key: str
    subject: str
    text: str
    document: bytes
    html: str | None = None
    level: LevelName | None = None
    recipients: tuple[str, ...] = ()


class NotDelivered(Exception):  # noqa: N818  it says what it is
    """A message was not taken.

    Parameters
    ----------
    reason
        Why.
    text
        The same for a reader, without any secret.
    can_retry
        Whether trying again makes sense.
    retry_after_s
        How long the server asked to wait.
    """

    def __init__(self, reason: ActionReason, text: str, *, can_retry: bool, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text
        self.can_retry = can_retry
        self.retry_after_s = retry_after_s


class Sender(Protocol):
    """What sends messages. It blocks: it is called in a thread of its own, one message at a time."""

    def send(self, message: ChannelMessage) -> str:
        """Send a message; return what there is to say about it for a reader, mostly nothing.

        Raises
        ------
        NotDelivered
            When the server did not take it, or was not reached within the channel's time-out.
        """
        ...


OpenSecret = Callable[[Secret], str]
"""Returns a secret's value; raises ValueError, with nothing of the secret."""
SectionT = TypeVar("SectionT", bound=ChannelSection[Secret])


@dataclass(frozen=True, slots=True)
class ChannelContext:
    """What a channel is opened with, beside its document.

    Parameters
    ----------
    secret
        Opens its secrets.
    timeout_s
        How long it may wait for an answer.
    ca_file
        PEM file of the authorities to trust; None: the system's.
    """

    secret: OpenSecret
    timeout_s: float
    ca_file: Path | None = None


class Channel(ABC, Generic[SectionT]):
    """One way to notify somebody: all that is known of a kind, and one channel of it once it is open.

    A new kind is a class of these in a module of its own, its section in `schemas.channel`, and a place in
    `pipeline.channels.factory.CHANNELS`.
    """

    kind: ClassVar[str]
    """The field of the document that describes it."""
    example: ClassVar[dict[str, Any]]
    """What may stand in that field, for the reference."""

    @classmethod
    @abstractmethod
    def open(cls, section: SectionT, context: ChannelContext) -> Self:
        """Return the channel that a document's section describes; nothing is connected yet.

        Raises
        ------
        ValueError
            If a secret is missing, or not of the form that it must have; the text holds nothing of it.
        """

    @abstractmethod
    def send(self, message: ChannelMessage) -> str:
        """Send a message: see `Sender.send`."""

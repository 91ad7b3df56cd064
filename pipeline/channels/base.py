"""What every channel can do, and how it says that it could not."""

from dataclasses import dataclass
from typing import Protocol

from schemas.action import ActionReason
from schemas.trigger_policy import LevelName

__all__ = ["Channel", "ChannelMessage", "NotDelivered"]


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


class Channel(Protocol):
    """One way to notify somebody. It blocks: it is called in a thread of its own, one message at a time."""

    def send(self, message: ChannelMessage) -> str:
        """Send a message; return what there is to say about it for a reader, mostly nothing.

        Raises
        ------
        NotDelivered
            When the server did not take it, or was not reached within the channel's time-out.
        """
        ...

"""Chat, SMS, push and the rest through the apprise library.

Apprise says only whether a message was taken. Why not stands in its log lines, of which the status alone is read: they
may hold secrets, and go nowhere else.
"""

import logging
import re
import threading
import warnings
from functools import cache
from types import ModuleType
from typing import Any, ClassVar, Final, Self

from pipeline.channels.base import Channel, ChannelContext, ChannelMessage, NotDelivered
from pipeline.channels.http_status import not_delivered
from schemas.action import ActionReason
from schemas.channel import Apprise

__all__ = ["AppriseChannel"]

LOCAL_PLUGINS: Final = frozenset(("dbus", "glib", "gnome", "macosx", "syslog", "windows"))
"""They notify the worker's own machine, whoever that may be."""
LONGEST_CONNECT_S: Final = 4.0
_STATUS = re.compile(r"error=(\d{3})\b")
_LEVELS: Final = {"info": "info", "warn": "warning", "critical": "failure", None: "success"}


class _Log(logging.Handler):
    """Keeps the last status that the calling thread's log lines hold, and lets no line through."""

    def __init__(self) -> None:
        super().__init__()
        self._of_thread = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        found = _STATUS.search(record.getMessage())
        if found is not None:
            self._of_thread.status = int(found[1])

    def forget(self) -> None:
        self._of_thread.status = None

    @property
    def status(self) -> int | None:
        status: int | None = getattr(self._of_thread, "status", None)
        return status


_log = _Log()


@cache
def _library() -> ModuleType:
    """Import apprise with all of its services, and keep its log lines to ourselves. It takes half a second."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it tries out of the standard library
        import apprise  # noqa: PLC0415

        apprise.Apprise.instantiate("json://localhost")
    logger = logging.getLogger("apprise")
    logger.handlers = [_log]
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    return apprise


class AppriseChannel(Channel[Apprise]):
    """Sends through one of apprise's services.

    Parameters
    ----------
    url
        Apprise's URL of the service, with its secrets.
    timeout_s
        For the connection, and for the answer.

    Raises
    ------
    ValueError
        When apprise knows no such service, or it is one of this machine; the text does not repeat the URL.
    """

    kind: ClassVar = "apprise"
    example: ClassVar = {"url": {"file": "slack-url"}}

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        if type(self._service()).__module__.rpartition(".")[2] in LOCAL_PLUGINS:
            raise ValueError("the URL names a service of the worker's own machine")

    @classmethod
    def open(cls, section: Apprise, context: ChannelContext) -> Self:
        """Return the channel of a section (see `Channel.open`)."""
        return cls(context.secret(section.url), timeout_s=context.timeout_s)

    def send(self, message: ChannelMessage) -> str:
        """Send it (see `Sender`)."""
        apprise = _library()
        service = self._service()
        service.socket_connect_timeout = min(self._timeout_s, LONGEST_CONNECT_S)
        service.socket_read_timeout = self._timeout_s
        _log.forget()
        try:
            was_taken = service.notify(
                body=message.text,
                title=message.subject,
                notify_type=apprise.NotifyType(_LEVELS[message.level]),
                body_format=apprise.NotifyFormat.TEXT,
            )
        except Exception as error:  # noqa: BLE001  the code of some two hundred services, and its text may hold secrets
            text = f"the service failed ({type(error).__name__})"
            raise NotDelivered(ActionReason.REJECTED, text, can_retry=False) from None
        if was_taken:
            return ""
        status = _log.status
        failure = not_delivered(status) if status is not None else None
        if failure is None:
            raise NotDelivered(ActionReason.CONNECTION, "the service did not take the message", can_retry=True)
        raise failure

    def _service(self) -> Any:
        """Return the service; a new one each time, as one that is kept waits between two messages."""
        apprise = _library()
        asset = apprise.AppriseAsset(
            secure_logging=True, async_mode=False, http_redirects=False, pgp_autogen=False, pem_autogen=False
        )
        service = apprise.Apprise.instantiate(self._url, asset=asset)
        if service is None:
            raise ValueError("the URL names no service that apprise knows, or lacks a part of it")
        return service

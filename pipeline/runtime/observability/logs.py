"""Log lines of a worker: readable on a terminal, or one JSON object each for a collector."""

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_QUIET: Final = ("alembic", "faust", "mode", "aiokafka", "asyncio", "kafka", "uvicorn")
"""Loggers whose information is about their insides."""


class JsonFormatter(logging.Formatter):
    """One JSON object a record: time, level, logger, message, and the exception where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line."""
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def _log_end_of_thread(end: threading.ExceptHookArgs) -> None:
    name = "?" if end.thread is None else end.thread.name
    logging.getLogger(__name__).error("thread %s ended: %r", name, end.exc_value)


def configure_logging(
    level: Literal["debug", "info", "warn", "error"], layout: Literal["text", "json"], stream: TextIO | None = None
) -> None:
    """Send all log records, and what ends a thread, to a stream, standard error by default.

    Parameters
    ----------
    level
        The least severe level that is logged; the libraries' own information only with `debug`.
    layout
        How a line looks.
    stream
        Where they go.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    if layout == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    threading.excepthook = _log_end_of_thread
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])
    for name in _QUIET:
        logging.getLogger(name).setLevel(_LEVELS[level] if level in {"debug", "error"} else logging.WARNING)

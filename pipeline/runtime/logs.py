"""Log lines of a worker: readable on a terminal, or one JSON object each for a collector."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_QUIET: Final = ("faust", "mode", "aiokafka", "asyncio", "kafka")
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


def configure_logging(
    level: Literal["debug", "info", "warn", "error"], layout: Literal["text", "json"], stream: TextIO | None = None
) -> None:
    """Send all log records to a stream, standard error by default.

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
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])
    for name in _QUIET:
        logging.getLogger(name).setLevel(_LEVELS[level] if level in {"debug", "error"} else logging.WARNING)

"""Log lines: JSON that holds everything, or text; the libraries' chatter is left out."""

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest

from pipeline.runtime.observability.logs import configure_logging


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, hook = root.handlers[:], root.level, threading.excepthook
    yield
    root.handlers[:], threading.excepthook = handlers, hook
    root.setLevel(level)
    for name in ("faust", "mode", "aiokafka", "asyncio", "kafka"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_json_lines_hold_time_level_logger_message_and_exception() -> None:
    out = io.StringIO()
    configure_logging("info", "json", out)
    error = ValueError("broken\nin two lines")
    logging.getLogger("pipeline.stages").error("it is %s", "over", exc_info=error)
    fields = json.loads(out.getvalue())
    assert (fields["level"], fields["logger"], fields["message"]) == ("error", "pipeline.stages", "it is over")
    assert fields["time"].endswith("+00:00")
    assert "ValueError: broken\nin two lines" in fields["exception"]


def test_text_leaves_out_lower_levels_and_the_libraries_information() -> None:
    out = io.StringIO()
    configure_logging("info", "text", out)
    logging.getLogger("pipeline").debug("too fine")
    logging.getLogger("faust.app").info("starting")
    logging.getLogger("aiokafka.consumer").warning("a broker is away")
    assert [line.split(" ", 2)[2] for line in out.getvalue().splitlines()] == [
        "WARNING aiokafka.consumer: a broker is away"
    ]


def test_what_ends_a_thread_is_logged() -> None:
    out = io.StringIO()
    configure_logging("info", "text", out)

    def fail() -> None:
        raise ValueError("in a thread")

    thread = threading.Thread(target=fail, name="reader")
    thread.start()
    thread.join()
    assert "thread reader ended: ValueError('in a thread')" in out.getvalue()

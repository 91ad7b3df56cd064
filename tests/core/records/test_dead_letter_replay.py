"""A dead letter's record gets a key only where its own bytes tell it for certain."""

import pytest

from pipeline.core.records.dead_letter_replay import draft_of, window_version
from pipeline.core.records.telegraf.parser import ParseOptions
from schemas.reasons import DeadLetterReason
from schemas.records import DeadLetter

R = DeadLetterReason


def dead_letter(reason: DeadLetterReason, value: bytes) -> DeadLetter:
    return DeadLetter(
        topic="metrics.raw",
        partition=0,
        offset=0,
        line=1,
        column=1,
        reason=reason,
        message="not taken",
        stage="aggregate",
        value=value,
    )


@pytest.mark.parametrize(
    ("reason", "value", "key", "newest_ms", "is_timed"),
    [
        (R.TIMESTAMP_FUTURE, b"cpu,host=a v=1 1780000000", b"a", 1_780_000_000_000, True),
        (R.TIMESTAMP_FUTURE, b"cpu,host=a v=1 1780000000\ncpu,host=a v=1 1780000009", b"a", 1_780_000_009_000, True),
        (R.TIMESTAMP_FUTURE, b"cpu,host=a v=1", b"a", None, False),
        (R.TIMESTAMP_FUTURE, b"cpu,host=a v=1 1780000000\ncpu,host=b v=1 1780000000", None, 1_780_000_000_000, True),
        (R.TIMESTAMP_FUTURE, b"cpu,host=a v=1 1780000000\ncpu,host=a v=x", None, 1_780_000_000_000, False),
        (R.PARSE_NUMBER, b"cpu,host=a v=1 1780000000", None, None, False),
        (R.STORE_REJECTED, b"no window", None, None, True),
    ],
)
def test_what_the_bytes_say(
    reason: DeadLetterReason, value: bytes, key: bytes | None, newest_ms: int | None, *, is_timed: bool
) -> None:
    draft = draft_of(dead_letter(reason, value), ParseOptions())
    assert (draft.key, draft.newest_ms, draft.is_timed) == (key, newest_ms, is_timed)


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b"\xff", b'{"tags":[],"measurement":"m"}'])
def test_what_is_no_window_has_no_version(value: bytes) -> None:
    assert window_version(value) is None

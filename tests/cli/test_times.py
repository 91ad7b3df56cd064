"""Durations and moments on the command line."""

import pytest

from pipeline.cli.times import duration_ms, moment_ms


@pytest.mark.parametrize(
    ("text", "length_ms"),
    [("10s", 10_000), ("250ms", 250), ("1.5h", 5_400_000), ("2m", 120_000), ("7d", 604_800_000), (" 1s ", 1000)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, length_ms: int) -> None:
    assert duration_ms(text) == length_ms


@pytest.mark.parametrize("text", ["", "10", "s", "-1s", "1e3s", "0s", "0.5ms", "40000d", "1s1s", "१s", "9" * 10 + "d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no duration|must be a whole number of milliseconds"):
        duration_ms(text)


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("now", 42),
        ("1780000020000", 1_780_000_020_000),
        ("2026-05-28T20:27:00Z", 1_780_000_020_000),
        ("2026-05-28T20:27:00", 1_780_000_020_000),
        ("2026-05-29 05:27:00+09:00", 1_780_000_020_000),
        ("1970-01-02", 86_400_000),
    ],
)
def test_a_moment_is_now_milliseconds_or_a_date(text: str, time_ms: int) -> None:
    assert moment_ms(text, now_ms=42) == time_ms


@pytest.mark.parametrize("text", ["", "tomorrow", "1e9", "2026-13-01", "9" * 16])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no moment"):
        moment_ms(text, now_ms=0)

"""CSV files with a column of times and one of values, as columns of numbers."""

import csv
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.core.records.telegraf.parsed import TimestampUnit
from pipeline.core.records.telegraf.timestamps import to_time_ns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

    from pipeline.core.compiled import Array

__all__ = ["SeriesFileError", "SeriesRows", "read_series", "time_ms"]


class SeriesFileError(ValueError):
    """A file that is no series; the message names the file, the line and what is allowed."""


class SeriesRows(NamedTuple):
    """The rows of one file, in its order."""

    time_text: list[str]
    """The times as they stand in the file."""
    value_text: list[str]
    """The values as they stand in the file."""
    time_ms: "Array"
    """int64: milliseconds since 1970."""
    value: "Array"
    """float64: NaN where the value is empty."""


def time_ms(text: str, zone: "tzinfo" = UTC) -> int:
    """Return the milliseconds since 1970 of a time in seconds, milliseconds (by magnitude) or ISO 8601.

    Parameters
    ----------
    text : str
        A number, or a date and time with or without an offset.
    zone : datetime.tzinfo
        Where a time without an offset was written down.

    Raises
    ------
    ValueError
        If it is neither, or beyond the years of 64-bit nanoseconds.

    Examples
    --------
    >>> time_ms("1516241192"), time_ms("1516241192000"), time_ms("2018-01-18 02:06:32")
    (1516241192000, 1516241192000, 1516241192000)
    """
    try:
        number = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text.strip())
        moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        return round(moment.timestamp() * 1000)
    at = to_time_ns(number, unit=TimestampUnit.AUTO, default_unit=TimestampUnit.S)
    if at is None:
        raise ValueError("beyond the years 1678 to 2262")
    return at // 1_000_000


def read_series(path: Path, time_column: str, value_column: str, zone: "tzinfo" = UTC) -> SeriesRows:
    """Return the rows of a CSV file whose first line names its columns.

    Raises
    ------
    SeriesFileError
        If the file cannot be read, lacks a column, is not UTF-8, or a time or value is none.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _rows(path, csv.reader(file), (time_column, value_column), zone)
    except OSError as error:
        raise SeriesFileError(f"{path}: cannot read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise SeriesFileError(f"{path}: not CSV in UTF-8: {error}") from error


def _rows(path: Path, lines: "Iterator[list[str]]", columns: tuple[str, str], zone: "tzinfo") -> SeriesRows:
    header = [name.strip() for name in next(lines, [])]
    places = []
    for name in columns:
        if name not in header:
            raise SeriesFileError(f"{path}: no column {name!r}; there are {', '.join(header) or 'none'}")
        places.append(header.index(name))
    found = SeriesRows([], [], np.empty(0), np.empty(0))
    times: list[int] = []
    values: list[float] = []
    for number, row in enumerate(lines, 2):
        if not row:
            continue
        if len(row) <= max(places):
            raise SeriesFileError(f"{path}: row {number}: {len(row)} columns, the header has {len(header)}")
        time_text, value_text = row[places[0]], row[places[1]]
        times.append(_time(path, number, time_text, zone))
        values.append(_value(path, number, value_text))
        found.time_text.append(time_text)
        found.value_text.append(value_text)
    return found._replace(time_ms=np.array(times, np.int64), value=np.array(values, np.float64))


def _time(path: Path, number: int, text: str, zone: "tzinfo") -> int:
    try:
        return time_ms(text, zone)
    except (ValueError, OverflowError) as error:
        raise SeriesFileError(
            f"{path}: row {number}: time must be seconds, milliseconds or ISO 8601, got {text[:64]!r}"
        ) from error


def _value(path: Path, number: int, text: str) -> float:
    if not text.strip():
        return math.nan
    try:
        return float(text)
    except ValueError as error:
        raise SeriesFileError(f"{path}: row {number}: value must be a number or empty, got {text[:64]!r}") from error

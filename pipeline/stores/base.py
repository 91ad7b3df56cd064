"""What every store can do, whatever keeps the records, and how much may be asked of it."""

from bisect import bisect_right
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pipeline.core.downsampling.curve import StoredChunk

FUNCTIONS = ("min", "max", "avg", "last", "count", "increase", "rate")
"""The functions of a field that can be asked for in every store."""

MAX_POINTS = 100_000
"""No range query answers more points than this."""

MAX_TOP = 10_000
"""No top-N query answers more series than this."""

LONGEST_CHUNK_MS = 86_400_000
"""No chunk covers more: `downsample.chunk_s` allows a day."""

MAX_HISTORY_POINTS = 1_000_000
"""No query reads more kept points."""

TagSet = tuple[tuple[str, str], ...]


class StoreUnavailable(Exception):  # noqa: N818 - a state of the store; the sink waits and asks again
    """The store did not take or answer the request, and may later: nothing was decided about the records.

    Parameters
    ----------
    message
        What was tried, where and what came back; holds no secret.
    retry_after_s
        How long the store asked to be left alone, if it said so.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Rejected:
    """One record that the store refuses for good: retrying is no use."""

    index: int
    """Position in the sequence that was given to `Store.write`."""
    message: str
    """Why, in the store's own words."""


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of the records of one `Store.write`: each is written, superseded or rejected."""

    written: int
    superseded: int = 0
    """Records of a window of which the store, or the same call, has a greater revision."""
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True, slots=True)
class SeriesPoint:
    """One value of one series at a window's start, or over a whole range (`Store.query_top`)."""

    start_ms: int
    value: float
    tags: Mapping[str, str]


def always() -> bool:
    """Return True: nobody else writes."""
    return True


@dataclass(frozen=True, slots=True)
class StoredValue:
    """One function of one field in one window, as a store has it."""

    measurement: str
    tags: Mapping[str, str]
    start_ms: int
    field: str
    function: str
    value: float


class RecordStore(Protocol):
    """Keeps the records of one topic.

    Notes
    -----
    Writing is idempotent: of two records of one identity (of a window: its measurement, tags and start) the greater
    revision stays. A store is called from one thread at a time unless its class says otherwise.
    """

    def write(self, records: Sequence[bytes], is_mine: Callable[[], bool] = always) -> WriteResult:
        """Keep records of the topic (JSON bytes), all of them that can be kept, or raise.

        Parameters
        ----------
        records
            What is kept.
        is_mine
            Asked before each request of a store that cannot tell an older revision itself: when it says no, another
            worker may have written newer ones, and nothing more is written.

        Raises
        ------
        StoreUnavailable
            If the store is down, refuses the credentials or has no room: write the same records again later.
        """
        ...

    @property
    def keeps_revisions(self) -> bool:
        """Whether what is kept tells which revision it is of; else the store has to be given it anew, by `remember`."""
        ...

    def remember(self, records: Sequence[bytes]) -> None:
        """Note records that were written before this store was opened: older ones of theirs are superseded."""
        ...

    def ping(self) -> None:
        """Return if the store answers and takes the credentials; raise `StoreUnavailable` if not."""
        ...

    def close(self) -> None:
        """Release connections and files; a second call does nothing."""
        ...


class Store(RecordStore, Protocol):
    """Keeps windows, the records of ``metrics.agg``, and answers what was kept."""

    def query_range(
        self,
        measurement: str,
        field: str,
        function: str,
        *,
        start_ms: int,
        end_ms: int,
        tags: Mapping[str, str] | None = None,
        max_points: int = MAX_POINTS,
    ) -> list[SeriesPoint]:
        """Return one function of one field for each window that starts in ``[start_ms, end_ms)``.

        Parameters
        ----------
        measurement, field
            Which series, with all their tag sets.
        function
            One of `FUNCTIONS`.
        start_ms, end_ms
            The range, in UTC milliseconds.
        tags
            Only series that carry all of these.
        max_points
            At most so many points, the oldest first.

        Returns
        -------
        list of SeriesPoint
            In the order of time, then of the tags.

        Raises
        ------
        ValueError
            If the function is unknown, the range is empty or ``max_points`` is out of bounds.
        StoreUnavailable
            If the store does not answer.
        """
        ...

    def query_top(
        self,
        measurement: str,
        field: str,
        function: str,
        *,
        start_ms: int,
        end_ms: int,
        n: int = 10,
        tags: Mapping[str, str] | None = None,
        by_tag: str | None = None,
    ) -> list[SeriesPoint]:
        """Return the ``n`` series with the greatest value over the whole of ``[start_ms, end_ms)``.

        Parameters
        ----------
        measurement, field, function, start_ms, end_ms, tags
            As for `query_range`.
        n
            At most so many series, up to `MAX_TOP`.
        by_tag
            Name of a tag: of the series that share its value only the greatest counts; series without it are left out.

        Returns
        -------
        list of SeriesPoint
            The greatest first; ``start_ms`` is that of the query. The value over the range is for ``min`` the least,
            for ``max`` the greatest, for ``last`` the latest, for ``count`` and ``increase`` the sum, for ``rate``
            the mean of the windows, and for ``avg`` their mean weighted by count, which is the mean of the samples.

        Raises
        ------
        ValueError, StoreUnavailable
            As for `query_range`.
        """
        ...

    def scan(self, start_ms: int, end_ms: int) -> Generator[StoredValue, None, None]:
        """Yield everything that is kept of the windows that start in ``[start_ms, end_ms)``, in any order.

        Little of it is in memory at a time.

        Raises
        ------
        ValueError
            If the range is empty.
        StoreUnavailable
            If the store does not answer.
        """
        ...


class HistoryStore(Protocol):
    """Gives back chunks of down-sampled history."""

    def chunks(
        self, measurement: str, field: str, *, start_ms: int, end_ms: int, tags: Mapping[str, str] | None = None
    ) -> dict[TagSet, list["StoredChunk"]]:
        """Return by series, in the order of time, the chunks that a range needs: one before it may be among them.

        Raises
        ------
        ValueError
            If there are too many points.
        StoreUnavailable
            If the store does not answer.
        """
        ...

    def close(self) -> None:
        """Release connections and files; a second call does nothing."""
        ...


def check_query(function: str, *, start_ms: int, end_ms: int, limit: int, most: int) -> None:
    """Raise ValueError, naming the argument, if a query's arguments are out of bounds."""
    if function not in FUNCTIONS:
        raise ValueError(f"unknown function {function!r}: use one of {', '.join(FUNCTIONS)}")
    check_range(start_ms, end_ms)
    if not 1 <= limit <= most:
        raise ValueError(f"{limit} results asked for, allowed are 1 to {most}")


def check_range(start_ms: int, end_ms: int) -> None:
    """Raise ValueError if a range is empty."""
    if start_ms >= end_ms:
        raise ValueError(f"the range is empty: start_ms={start_ms} is not before end_ms={end_ms}")


def check_points(count: int) -> None:
    """Raise ValueError if a query finds too many points."""
    if count >= MAX_HISTORY_POINTS:
        raise ValueError(f"the range has more than {MAX_HISTORY_POINTS} kept points: ask for less, or fewer series")


def first_needed(ends_ms: Sequence[int], start_ms: int) -> int:
    """Return the position of the first chunk that a range needs.

    Parameters
    ----------
    ends_ms
        Ends of a series' chunks, ascending.
    start_ms
        Start of the range.

    Returns
    -------
    int
        Of the chunk before the first that ends behind the start: a line may lead from it into the range.
    """
    return max(bisect_right(ends_ms, start_ms) - 1, 0)

"""What every source makes, what it is opened with, and what it says of itself."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

if TYPE_CHECKING:
    from pipeline.sources.fleet.incidents import Incident


class RawRecord(NamedTuple):
    """One metric, as a Telegraf agent's Kafka output sends it."""

    key: bytes
    """The resource, ``ns/infra/node``: it decides the partition."""
    value: bytes
    """The metric in line protocol (ending with a newline) or JSON."""
    time_ms: int
    """The metric's own time in UTC milliseconds; the record's timestamp too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceOptions:
    """What sources are opened with; each takes what it names in `Source.options`.

    Parameters
    ----------
    interval_ms
        Time between two measurements.
    start_ms
        Time of the first measurement, in UTC milliseconds.
    hosts
        How many machines.
    seed
        Of all chance.
    message_format
        ``influx`` (line protocol) or ``json``.
    on_incident
        Called with each incident as it begins: the ground truth.
    """

    interval_ms: int
    start_ms: int = 0
    hosts: int = 1
    seed: int = 1
    message_format: str = "influx"
    on_incident: "Callable[[Incident], None] | None" = None


class Source(ABC):
    """Makes metrics: all that is known of a source, and one of it once it is open.

    A new source is a class of these and a place in `pipeline.sources.factory.SOURCES`.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    options: ClassVar[tuple[str, ...]]
    """The fields of `SourceOptions` that it takes."""

    @classmethod
    @abstractmethod
    def open(cls, options: SourceOptions) -> Self:
        """Return the source; ValueError, naming it, if an option is out of bounds."""

    @classmethod
    @abstractmethod
    def title(cls, options: SourceOptions) -> str:
        """Return what a source with these options is called on the screen."""

    @abstractmethod
    def batches(self, stop: Event) -> Iterator[list[RawRecord]]:
        """Yield the records of one measurement after the other; it may end early once ``stop`` is set."""

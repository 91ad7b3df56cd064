"""What is known of a kind of store: the options it needs, how it is opened, checked and made."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pipeline.stores.base import HistoryStore, RecordStore, Store
    from pipeline.stores.settings import StoreSettings


@dataclass(frozen=True, slots=True)
class StoreDifference:
    """One thing that is not as the settings have it."""

    store: str
    setting: str
    wanted: str
    found: str


@dataclass(frozen=True, slots=True)
class StoreSetup:
    """What `StoreKind.apply` did, and what it left alone."""

    done: tuple[str, ...] = ()
    left: tuple[StoreDifference, ...] = ()


class StoreKind(ABC):
    """A kind of store.

    A new kind is a class of these in a folder of its own and a place in `pipeline.stores.factory.KINDS`; an option that
    no other kind has is a field of the stores' settings beside. Modules that take long to import are imported where a
    store is opened: the settings are checked with all kinds.

    Notes
    -----
    All methods take a store's section of the settings, whose options `check_options` has accepted. Where they raise
    StoreUnavailable, the database does not answer, does not take the credentials, or is none of this kind.
    """

    name: ClassVar[str]
    """The option ``kind`` in the settings."""
    summary: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    """Options without which no store of this kind is."""
    needs_one_of: ClassVar[tuple[str, ...]] = ()
    """Options of which exactly one is there."""
    takes: ClassVar[tuple[str, ...]] = ()
    """Options that may be left out."""

    @property
    def options(self) -> tuple[str, ...]:
        """All options that mean anything to this kind, beside those of every store."""
        return (*self.needs, *self.needs_one_of, *self.takes)

    def check_options(self, store: "StoreSettings") -> None:
        """Raise ValueError, naming them, if options are missing."""
        missing = [name for name in self.needs if getattr(store, name) is None]
        if missing:
            raise ValueError(f"kind {self.name} needs {', '.join(missing)}")
        given = [name for name in self.needs_one_of if getattr(store, name) is not None]
        if self.needs_one_of and len(given) != 1:
            raise ValueError(f"kind {self.name} needs either {' or '.join(self.needs_one_of)}")

    @abstractmethod
    def open_windows(self, store: "StoreSettings", *, read_only: bool) -> "Store":
        """Return the store of windows, open; a file is made unless it is only read."""

    @abstractmethod
    def open_chunks(self, store: "StoreSettings") -> "RecordStore":
        """Return what keeps the chunks of ``metrics.downsampled``, open."""

    @abstractmethod
    def open_events(self, store: "StoreSettings", topic: str) -> "RecordStore":
        """Return what keeps the records of ``anomalies`` or ``alerts``, open."""

    @abstractmethod
    def open_history(self, store: "StoreSettings") -> "HistoryStore":
        """Return what gives back chunks, open; a file must be there."""

    @abstractmethod
    def windows_deleted_after_ms(self, store: "StoreSettings") -> int | None:
        """Return after how long the store itself deletes windows; None if it leaves that to the database."""

    @abstractmethod
    def check(self, store: "StoreSettings") -> list[StoreDifference]:
        """Return how the database differs from the settings; without ``retention_days`` any retention will do."""

    @abstractmethod
    def apply(self, store: "StoreSettings") -> StoreSetup:
        """Make what is missing, and lengthen a retention that is too short; delete nothing."""

    @abstractmethod
    def ping(self, store: "StoreSettings") -> None:
        """Return if the database answers and takes the credentials; raise StoreUnavailable if not."""

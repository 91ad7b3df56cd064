"""The kind ``embedded``: a SQLite file of our own."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pipeline.stores.kind import StoreDifference, StoreKind, StoreSetup

if TYPE_CHECKING:
    from pipeline.stores.embedded.history import EmbeddedChunks, EmbeddedEvents
    from pipeline.stores.embedded.history_reading import EmbeddedHistoryReader
    from pipeline.stores.embedded.windows import EmbeddedStore
    from pipeline.stores.settings import StoreSettings

WINDOWS_RETENTION_MS = 7 * 86_400_000
"""How long windows are kept unless the settings say otherwise: as long as ``metrics.agg`` keeps its records."""


class Embedded(StoreKind):
    """A SQLite file: one of windows, or one of history and events."""

    name: ClassVar = "embedded"
    summary: ClassVar = "A SQLite file of our own, for one machine."
    needs: ClassVar = ("path",)

    def open_windows(self, store: "StoreSettings", *, read_only: bool) -> "EmbeddedStore":
        """Return the store of windows, open: see `StoreKind.open_windows`."""
        from pipeline.stores.embedded.windows import EmbeddedStore

        return EmbeddedStore(_path(store), retention_ms=self.windows_deleted_after_ms(store), read_only=read_only)

    def open_chunks(self, store: "StoreSettings") -> "EmbeddedChunks":
        """Return what keeps chunks, open."""
        from pipeline.stores.embedded.history import EmbeddedChunks

        return EmbeddedChunks(_path(store), retention_ms=store.retention_ms)

    def open_events(self, store: "StoreSettings", topic: str) -> "EmbeddedEvents":
        """Return what keeps the records of a topic, open."""
        from pipeline.stores.embedded.history import EmbeddedEvents

        return EmbeddedEvents(_path(store), topic, retention_ms=store.retention_ms)

    def open_history(self, store: "StoreSettings") -> "EmbeddedHistoryReader":
        """Return what gives back chunks, open."""
        from pipeline.stores.embedded.history_reading import EmbeddedHistoryReader

        return EmbeddedHistoryReader(_path(store))

    def windows_deleted_after_ms(self, store: "StoreSettings") -> int:
        """Return after how long windows are deleted."""
        return WINDOWS_RETENTION_MS if store.retention_ms is None else store.retention_ms

    def check(self, store: "StoreSettings") -> list[StoreDifference]:
        """Return whether the file is missing."""
        path = _path(store)
        if not path.exists():
            return [StoreDifference(store.name, "file", str(path), "missing")]
        self.ping(store)
        return []

    def apply(self, store: "StoreSettings") -> StoreSetup:
        """Make the file if it is missing."""
        path = _path(store)
        if path.exists():
            self.ping(store)
            return StoreSetup()
        self._open(store, read_only=False)
        return StoreSetup((f"made the file {path}",))

    def ping(self, store: "StoreSettings") -> None:
        """Return if the file is there and is a store of this version."""
        self._open(store, read_only=True)

    def _open(self, store: "StoreSettings", *, read_only: bool) -> None:
        """Open the file, making it if it may, and close it."""
        if store.role == "integrated":
            from pipeline.stores.embedded.history import open_history_file

            open_history_file(_path(store), read_only=read_only).close()
        else:
            self.open_windows(store, read_only=read_only).close()


def file_store(path: Path, role: Literal["regional", "integrated"] = "regional") -> "StoreSettings":
    """Return the settings of a store that is a file and nothing more."""
    from pipeline.stores.settings import StoreSettings

    return StoreSettings(name="file", kind=Embedded.name, role=role, path=path)


def _path(store: "StoreSettings") -> Path:
    if store.path is None:
        raise ValueError("an embedded store needs a path")
    return store.path

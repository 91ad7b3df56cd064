"""A SQLite file that one process writes and any others read meanwhile."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.stores.base import StoreUnavailable

UNFIT = (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError, OverflowError)
"""What SQLite raises for a value that its column cannot take."""

_BUSY_TIMEOUT_S = 5.0
_LONGEST_LOG_BYTES = 64 * 1024 * 1024  # what the write-ahead log is cut back to after a large transaction


class SqliteFile:
    """A file of one version of some tables (write-ahead log: readers never wait for the writer).

    Parameters
    ----------
    path
        The file; made with its folder when it is absent, unless ``read_only``.
    version
        ``user_version`` of the file; a file of another version is not touched.
    tables
        The statements that make its tables.
    read_only
        For a process that only asks: never writes, and needs the file to be there.

    Raises
    ------
    StoreUnavailable
        If the file cannot be opened, is no database, or was written by another version.

    Notes
    -----
    Written without waiting for the disk at each transaction (``synchronous=NORMAL``): a power cut may lose the last
    ones, a crash of the process loses nothing.
    """

    def __init__(self, path: Path, *, version: int, tables: str, read_only: bool) -> None:
        self._path = path
        self._version = version
        self._writer: sqlite3.Connection | None = None
        if read_only:
            self.ping()
            return
        with self.explained("open"):
            path.parent.mkdir(parents=True, exist_ok=True)
            writer = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(writer, tables)
            except BaseException:
                writer.close()
                raise
        self._writer = writer

    def writer(self) -> sqlite3.Connection:
        """Return the connection that writes; `StoreUnavailable` if there is none."""
        if self._writer is None:
            raise StoreUnavailable(f"the embedded store {self._path} is closed, or was opened only to read")
        return self._writer

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield the writing connection for one transaction: after an error nothing of it is written."""
        writer = self.writer()
        with self.explained("write to"):
            writer.execute("BEGIN IMMEDIATE")
            try:
                yield writer
                writer.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    writer.execute("ROLLBACK")
                raise

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """Yield a new connection that reads; any thread may ask."""
        with self.explained("read"):
            address = f"{self._path.absolute().as_uri()}?mode=ro"
            reader = sqlite3.connect(address, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
            try:
                (version,) = reader.execute("PRAGMA user_version").fetchone()
                self._check_version(version)
                yield reader
            finally:
                reader.close()

    def ping(self) -> None:
        """Return if the file is there and is of this version; raise `StoreUnavailable` if not."""
        with self.reader() as reader:
            reader.execute("SELECT 1 FROM sqlite_schema LIMIT 1")

    @contextmanager
    def explained(self, what: str) -> Iterator[None]:
        """Turn SQLite's and the system's errors into `StoreUnavailable`, with the file's name."""
        try:
            yield
        except (sqlite3.DatabaseError, OSError) as error:
            if isinstance(error, UNFIT):
                raise  # a mistake of ours
            raise StoreUnavailable(f"cannot {what} the embedded store {self._path}: {error}") from error

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _prepare(self, writer: sqlite3.Connection, tables: str) -> None:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA synchronous = NORMAL")
        writer.execute(f"PRAGMA journal_size_limit = {_LONGEST_LOG_BYTES}")
        (version,) = writer.execute("PRAGMA user_version").fetchone()
        if version == 0:
            writer.executescript(f"BEGIN IMMEDIATE; {tables} PRAGMA user_version = {self._version}; COMMIT;")
        else:
            self._check_version(version)

    def _check_version(self, version: int) -> None:
        if version != self._version:
            raise StoreUnavailable(
                f"{self._path} is no embedded store of version {self._version} (it says {version}): "
                "move it away to start a new one"
            )

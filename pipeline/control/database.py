"""The database of the control service: SQLite or PostgreSQL, migrated before it is used."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from pipeline.control.settings import ControlSettings
from pipeline.settings.base import SettingsError

MIGRATIONS: Final = Path(__file__).with_name("migrations")
BUSY_TIMEOUT_MS: Final = 10_000
CONNECT_TIMEOUT_S: Final = 10
STATEMENT_TIMEOUT_MS: Final = 30_000
WRITERS_LOCK: Final = 0x63696E6E
"""PostgreSQL's advisory lock of all that change something: the outbox has one order."""
MIGRATIONS_LOCK: Final = WRITERS_LOCK + 1


class DatabaseError(Exception):
    """The database cannot be used; the text says why, and has no secret."""


class Database:
    """Connections of one database.

    Parameters
    ----------
    settings
        Which one.

    Raises
    ------
    SettingsError
        If the settings name none that can be used.
    """

    def __init__(self, settings: ControlSettings) -> None:
        url = settings.read_database_url()
        self.is_postgresql = url is not None
        self._engine = _postgresql(url) if url is not None else _sqlite(settings.database_file)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection to read with."""
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection whose changes are all kept at the end, or none after an exception.

        One at a time changes anything: what waits in the outbox is numbered in the order of the commits.
        """
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            if self.is_postgresql:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITERS_LOCK})
            yield connection

    def migrate(self) -> None:
        """Bring the tables to this version's state; instances that start together wait for each other.

        Raises
        ------
        DatabaseError
            If the database cannot be reached, or is of a newer version.
        """
        with _failing_readably(), self._engine.connect() as connection:
            connection.execution_options(writes=True)
            with connection.begin():
                self._migrate(connection)

    def _migrate(self, connection: Connection) -> None:
        if self.is_postgresql:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATIONS_LOCK})
        found = MigrationContext.configure(connection).get_current_revision()
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.attributes["connection"] = connection
        known = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
        if found is not None and found not in known:
            raise DatabaseError(f"the database is of a newer version ({found}) than this program")
        command.upgrade(config, "head")

    def ping(self) -> None:
        """Ask the database for nothing.

        Raises
        ------
        DatabaseError
            If it does not answer.
        """
        with _failing_readably(), self.reading() as connection:
            connection.execute(text("SELECT 1"))

    def lock_connection(self) -> Connection:
        """Return a connection of one's own, that is never used again: for locks that it holds."""
        connection = self._engine.connect()
        connection.detach()
        return connection

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


@contextmanager
def _failing_readably() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0]
        raise DatabaseError(f"the database cannot be used: {cause}") from None  # the original may hold parameters


def _sqlite(path: Path) -> Engine:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        where = "control.database_file"
        raise SettingsError([f"{where}: cannot make the folder of {path}: {error.strerror}"]) from error
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, hide_parameters=True, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says, not before the first change
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE: a transaction that reads first would otherwise fail when another has written meanwhile
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql(url: str) -> Engine:
    try:
        parsed = make_url(url).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError):
        text = "must be postgresql://USER:PASSWORD@HOST/DATABASE"
        raise SettingsError([f"control.database_secret: {text}"]) from None  # the original quotes it
    options = f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c idle_in_transaction_session_timeout=60000"
    return create_engine(
        parsed,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=10,
        max_overflow=10,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "options": options},
    )

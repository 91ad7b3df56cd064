"""Of several instances over one database one publishes and follows; the others serve the API, and wait to take over."""

import fcntl
import threading
from typing import TextIO

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from pipeline.control.database import WRITERS_LOCK, Database
from pipeline.control.settings import ControlSettings

LEADERS_LOCK = WRITERS_LOCK + 2


class Leadership:
    """A lock that ends with the process or its connection: of a file beside SQLite's, of a session in PostgreSQL.

    Parameters
    ----------
    database, settings
        The database.
    """

    def __init__(self, database: Database, settings: ControlSettings) -> None:
        self._database = database
        self._path = settings.database_file.with_name(settings.database_file.name + ".lock")
        self._lock = threading.Lock()
        self._file: TextIO | None = None
        self._connection: Connection | None = None

    def is_held(self) -> bool:
        """Return whether this instance leads, after trying to.

        Raises
        ------
        OperationalError
            If the database does not answer.
        """
        with self._lock:
            return self._holds_session() if self._database.is_postgresql else self._holds_file()

    def release(self) -> None:
        """Let another instance lead."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
            self._drop()

    def _holds_file(self) -> bool:
        if self._file is not None:
            return True
        file = self._path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def _holds_session(self) -> bool:
        if self._connection is not None:
            try:
                self._connection.execute(text("SELECT 1"))
                self._connection.commit()
            except DBAPIError:  # the session is gone, and the lock with it
                self._drop()
                raise
            return True
        connection = self._database.lock_connection()
        got = connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LEADERS_LOCK}).scalar_one()
        connection.commit()
        if not got:
            connection.close()
            return False
        self._connection = connection
        return True

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

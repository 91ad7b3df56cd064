"""The API of tests: over SQLite and over a real PostgreSQL, without Kafka."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from pipeline.control.database import Database
from pipeline.control.settings import ControlSettings
from pipeline.control.tables import METADATA
from tests.support.control.api import Api
from tests.support.servers.postgresql import PostgreSQL
from tests.support.servers.process import made_or_skipped

ON_POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.real)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A running PostgreSQL; a test makes its own database, and kills only a server of its own."""
    server = made_or_skipped(PostgreSQL)
    try:
        yield server.start()
    finally:
        server.remove()


def control_settings(kind: str, request: pytest.FixtureRequest, folder: Path) -> ControlSettings:
    """Return settings with an empty database of a kind."""
    if kind == "sqlite":
        return ControlSettings(database_file=folder / "control.db")
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return ControlSettings(database_secret=server.create_database(), secrets_key_file=folder / "control.key")


@pytest.fixture(params=["sqlite", ON_POSTGRESQL])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> ControlSettings:
    """Settings with an empty database of this test alone."""
    return control_settings(request.param, request, tmp_path)


@pytest.fixture
def database(settings: ControlSettings) -> Iterator[Database]:
    """A database of this test alone, with its tables."""
    found = Database(settings)
    found.migrate()
    yield found
    found.close()


def served(kind: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[Api]:
    """Serve one API for all tests: to make one takes a second."""
    database = Database(control_settings(kind, request, folder))
    database.migrate()
    running = Api(database, folder)
    yield running
    running.close()
    database.close()


@pytest.fixture(scope="session")
def served_sqlite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An API over SQLite."""
    yield from served("sqlite", request, tmp_path_factory.mktemp("control"))


@pytest.fixture(scope="session")
def served_postgresql(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An API over PostgreSQL."""
    yield from served("postgresql", request, tmp_path_factory.mktemp("control"))


def emptied(api: Api) -> Api:
    """Return an API with nothing in its database."""
    with api.database.writing() as connection:
        for table in reversed(METADATA.sorted_tables):
            connection.execute(delete(table))
    return api


@pytest.fixture(params=["sqlite", ON_POSTGRESQL])
def api(request: pytest.FixtureRequest) -> Api:
    """The API, served on the loopback address, with nothing in it: over each database."""
    return emptied(request.getfixturevalue(f"served_{request.param}"))


@pytest.fixture
def sqlite_api(served_sqlite: Api) -> Api:
    """The API over SQLite alone, for what does not depend on the database."""
    return emptied(served_sqlite)

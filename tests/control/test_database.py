"""The database: its tables from empty, by several at once, and what is said when it cannot be used."""

import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import insert, select, text
from sqlalchemy.exc import OperationalError

from pipeline.control.auth.api_keys import ApiKeys
from pipeline.control.auth.principal import Role
from pipeline.control.database import Database, DatabaseError
from pipeline.control.leadership import Leadership
from pipeline.control.settings import ControlSettings
from pipeline.control.tables import METADATA, OUTBOX
from pipeline.settings.base import SettingsError
from tests.support.control.api import Api, policy
from tests.support.servers.postgresql import PASSWORD, PostgreSQL
from tests.support.servers.process import free_ports, made_or_skipped

SECRET = "hunter-2"  # noqa: S105


def test_the_migrations_lead_from_an_empty_database_to_the_tables(settings: ControlSettings) -> None:
    database = Database(settings)
    database.migrate()
    database.migrate()

    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    database.close()


def test_instances_that_start_together_wait_for_each_other(settings: ControlSettings) -> None:
    databases = [Database(settings) for _ in range(4)]
    failures: list[BaseException] = []

    def migrate(database: Database) -> None:
        try:
            database.migrate()
        except BaseException as error:  # noqa: BLE001  what a thread raises is not seen else
            failures.append(error)

    threads = [threading.Thread(target=migrate, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for database in databases:
        database.close()

    assert failures == []


def test_the_tables_of_a_newer_version_are_left_alone(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(DatabaseError, match="newer version"):
        database.migrate()


def test_what_fails_in_a_transaction_leaves_nothing(database: Database) -> None:
    def change() -> None:
        with database.writing() as connection:
            connection.execute(insert(OUTBOX).values({"key": "k", "value": None, "created_ms": 0}))
            raise KeyError("undone")

    with pytest.raises(KeyError, match="undone"):
        change()

    with database.reading() as connection:
        assert connection.execute(select(OUTBOX)).all() == []


def test_writers_wait_for_each_other_and_the_outbox_has_their_order(database: Database) -> None:
    """A number is taken within the transaction: without the lock a later one could be seen first."""
    order: list[str] = []
    first_is_in, second_may_try = threading.Event(), threading.Event()

    def write(name: str) -> None:
        if name == "second":
            second_may_try.wait(10)
        with database.writing() as connection:
            first_is_in.set()
            connection.execute(insert(OUTBOX).values({"key": name, "value": None, "created_ms": 0}))
            second_may_try.set()
            order.append(name)

    threads = [threading.Thread(target=write, args=(name,)) for name in ("first", "second")]
    threads[0].start()
    assert first_is_in.wait(10)
    threads[1].start()
    for thread in threads:
        thread.join(20)

    with database.reading() as connection:
        keys = connection.execute(select(OUTBOX.c.key).order_by(OUTBOX.c.number)).scalars().all()
    assert keys == order == ["first", "second"]


def test_one_instance_leads_until_it_lets_go(database: Database, settings: ControlSettings) -> None:
    first, second = Leadership(database, settings), Leadership(database, settings)

    assert [first.is_held(), second.is_held(), first.is_held()] == [True, False, True]
    first.release()
    assert second.is_held()
    second.release()


def test_a_file_that_cannot_be_a_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    path.write_text("this is no database, but long enough to be looked at as one by who opens it" * 10)

    with pytest.raises(DatabaseError, match="the database cannot be used: file is not a database"):
        Database(ControlSettings(database_file=path)).migrate()


@pytest.mark.parametrize("url", ["mysql://u:{}@h/d", "postgresql://u:{}@h:port/d", "postgresql:{}"])
def test_an_address_that_is_none_is_told_without_it(tmp_path: Path, url: str) -> None:
    settings = ControlSettings(database_secret=url.format(SECRET), secrets_key_file=tmp_path / "key")

    with pytest.raises((SettingsError, DatabaseError)) as caught:
        Database(settings).migrate()

    assert SECRET not in str(caught.value) + repr(settings)


def test_a_postgresql_that_is_away_is_told_without_its_password(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    url = f"postgresql://u:{SECRET}@127.0.0.1:{port}/d"
    settings = ControlSettings(database_secret=url, secrets_key_file=tmp_path / "key")

    with pytest.raises(DatabaseError, match="the database cannot be used") as caught:
        Database(settings).migrate()

    assert SECRET not in str(caught.value)


def test_names_and_tenants_of_keys_are_checked(database: Database) -> None:
    keys = ApiKeys(database, lambda: 0)

    for name, tenants in (("", None), ("x\n", None), ("x", {"*"}), ("x", {"a/b"}), ("x", set())):
        with pytest.raises(ValueError, match="must"):
            keys.create(name=name, role=Role.VIEWER, tenants=tenants)
    assert keys.rows() == []


@pytest.mark.real
def test_an_outage_of_the_database_is_told_and_over_when_it_is(tmp_path: Path) -> None:
    server = made_or_skipped(PostgreSQL)
    settings = ControlSettings(database_secret=server.start().create_database(), secrets_key_file=tmp_path / "key")
    database = Database(settings)
    database.migrate()
    leadership = Leadership(database, settings)
    api = Api(database, tmp_path)
    admin = api.as_(Role.ADMIN)
    try:
        assert leadership.is_held()
        assert admin.post("/v1/policies", json=policy("before")).status_code == 201

        server.kill()
        answers = [admin.get("/v1/policies"), admin.post("/v1/policies", json=policy("lost")), admin.get("/readyz")]
        with pytest.raises(OperationalError):
            leadership.is_held()

        assert [answer.status_code for answer in answers] == [503] * 3
        assert all(PASSWORD not in answer.text for answer in answers)
        server.start()
        assert [item["id"] for item in admin.get("/v1/policies").json()["items"]] == ["before"]
        assert admin.post("/v1/policies", json=policy("after")).status_code == 201
        assert leadership.is_held()
    finally:
        api.close()
        leadership.release()
        database.close()
        server.remove()

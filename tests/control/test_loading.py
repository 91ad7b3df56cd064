"""Documents of files come into the database once, what they name before them; what is changed there stays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.control.database import Database
from pipeline.control.documents import Documents, DraftDocument
from pipeline.control.loading import GivenDocument, LoadError, load_new
from pipeline.control.settings import ControlSettings

POLICY = {"id": "cpu", "levels": {"warn": {"fire": 70}}, "scenario": "ops"}
SCENARIO: dict[str, Any] = {"id": "ops", "levels": {"warn": [{"after": "0s", "run": "restart"}]}}
SCRIPT = {"id": "restart", "file": "restart.sh"}


@pytest.fixture
def documents(tmp_path: Path) -> Iterator[Documents]:
    database = Database(ControlSettings(database_file=tmp_path / "control.db"))
    database.migrate()
    yield Documents(database, lambda: 1_000, lambda: None)
    database.close()


def test_what_is_named_is_stored_first_and_what_is_there_stays(documents: Documents) -> None:
    given = [GivenDocument("trigger", POLICY), GivenDocument("scenario", SCENARIO), GivenDocument("script", SCRIPT)]
    assert load_new(documents, given) == 3
    changed = POLICY | {"levels": {"warn": {"fire": 80}}}
    documents.replace(DraftDocument("trigger", "cpu", None, changed, ()), "me", tenants=None, revision=None)
    assert load_new(documents, given) == 0
    assert documents.get("trigger", "cpu", None).document == changed
    assert documents.publish_all() == 3


def test_what_names_a_missing_document_is_refused(documents: Documents) -> None:
    with pytest.raises(LoadError, match=r"trigger/cpu names scenario/ops, which is not there"):
        load_new(documents, [GivenDocument("trigger", POLICY)])


def test_channels_are_not_loaded_from_files(documents: Documents) -> None:
    with pytest.raises(LoadError, match="kind channel is not loaded from files"):
        load_new(documents, [GivenDocument("channel", {"id": "mail"})])

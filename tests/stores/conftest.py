"""Both kinds of store, empty, so that one test states a rule for both."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.stores.base import Store
from pipeline.stores.embedded.windows import EmbeddedStore
from tests.support.stores.influx import influx_store


@pytest.fixture(params=["embedded", pytest.param("influxdb", marks=pytest.mark.real)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    opened: Store
    if request.param == "embedded":
        opened = EmbeddedStore(tmp_path / "windows.db")
    else:
        opened = influx_store(request.getfixturevalue("influxdb"))
    yield opened
    opened.close()

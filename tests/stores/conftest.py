"""Both kinds of store, empty, so that one test states a rule for both."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.stores.base import Store
from pipeline.stores.embedded.windows import EmbeddedStore
from pipeline.stores.influxdb.windows import InfluxStore
from tests.real.influxdb import InfluxDB


def influx_store(server: InfluxDB, **options: object) -> InfluxStore:
    """Return a store on a new bucket of a real InfluxDB."""
    bucket = server.create_bucket(f"stores-{uuid.uuid4().hex}")
    return InfluxStore(url=server.url, org=server.org, bucket=bucket, token=server.token, **options)


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

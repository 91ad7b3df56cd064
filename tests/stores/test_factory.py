"""A store is opened from a section of the settings, whatever type that section is."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.stores.embedded.windows import EmbeddedStore
from pipeline.stores.factory import open_store
from pipeline.stores.influxdb.windows import InfluxStore


@dataclass(frozen=True)
class Options:
    kind: str
    url: str | None = None
    org: str | None = None
    bucket: str | None = None
    gzip: bool = False
    batch_lines: int = 5000
    timeout_s: float = 10.0
    requests_in_flight: int = 2
    path: Path | None = None
    retention_ms: int | None = None
    secret: str | None = field(default=None, repr=False)

    def read_token(self) -> str | None:
        return self.secret


def test_each_kind_opens_its_store(tmp_path: Path) -> None:
    embedded = open_store(Options("embedded", path=tmp_path / "windows.db"))
    influxdb = open_store(Options("influxdb", url="http://127.0.0.1:1", org="o", bucket="b", secret="t"))  # noqa: S106
    assert isinstance(embedded, EmbeddedStore)
    assert isinstance(influxdb, InfluxStore)
    embedded.close()
    influxdb.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options("embedded"), "an embedded store needs a path"),
        (Options("influxdb", url="http://127.0.0.1:1"), "needs url, org, bucket and a token"),
        (Options("oracle"), "unknown kind of store 'oracle': use influxdb or embedded"),
    ],
)
def test_what_is_missing_is_named(options: Options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_store(options)

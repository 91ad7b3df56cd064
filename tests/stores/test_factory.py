"""Every kind of store is known by its class alone: a new one is seen by all that goes through them."""

from pathlib import Path
from typing import ClassVar

import pytest

from pipeline.stores.embedded.kind import Embedded, file_store
from pipeline.stores.embedded.windows import EmbeddedStore
from pipeline.stores.factory import KINDS, kind_of, open_history, open_integrated, open_store, reference
from pipeline.stores.influxdb.windows import InfluxStore
from pipeline.stores.kind import StoreDifference
from pipeline.stores.settings import StoreSettings

INFLUXDB = StoreSettings(name="i", kind="influxdb", url="http://127.0.0.1:1", org="o", bucket="b", token="t")  # noqa: S106


class Folder(Embedded):
    """A test's own kind."""

    name: ClassVar = "folder"
    summary: ClassVar = "A file in a folder."
    needs: ClassVar = ("path", "bucket")


def without_checks(**options: object) -> StoreSettings:
    """Return settings that were not checked: as a programming error would have them."""
    usual = {name: field.get_default() for name, field in StoreSettings.model_fields.items()}
    return StoreSettings.model_construct(**{**usual, "name": "x", **options})


def test_each_kind_opens_its_store(tmp_path: Path) -> None:
    embedded = open_store(file_store(tmp_path / "windows.db"))
    influxdb = open_store(INFLUXDB)
    assert isinstance(embedded, EmbeddedStore)
    assert isinstance(influxdb, InfluxStore)
    embedded.close()
    influxdb.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (without_checks(kind="embedded"), "an embedded store needs a path"),
        (without_checks(kind="influxdb", url="http://127.0.0.1:1"), "needs url, org, bucket and a token"),
        (without_checks(kind="oracle"), "unknown kind of store 'oracle': use influxdb or embedded"),
    ],
)
def test_what_is_missing_is_named(options: StoreSettings, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_store(options)


def test_the_integrated_store_takes_its_topics_alone() -> None:
    with pytest.raises(ValueError, match=r"takes no records of metrics\.agg"):
        open_integrated(INFLUXDB, "metrics.agg")


def test_the_reference_says_of_each_kind_what_it_needs() -> None:
    found = {each.kind: each for each in reference()}
    assert found["embedded"].needs == ("path",)
    assert found["influxdb"].needs == ("url", "org", "bucket", "token | token_file")
    assert found["influxdb"].takes == ("gzip", "batch_lines", "timeout_s", "requests_in_flight")


def test_the_options_of_every_kind_are_in_the_settings() -> None:
    for kind in KINDS.values():
        assert set(kind.options) <= set(StoreSettings.model_fields)


def test_a_new_kind_is_opened_checked_and_in_the_reference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(KINDS, Folder.name, Folder())
    store = without_checks(kind="folder", path=tmp_path / "x.db")
    kind = kind_of(store)
    assert kind.check(store) == [StoreDifference("x", "file", str(tmp_path / "x.db"), "missing")]
    assert kind.apply(store).done == (f"made the file {tmp_path / 'x.db'}",)
    kind.ping(store)
    open_store(store, read_only=True).close()
    assert list(reference())[-1] == ("folder", "A file in a folder.", ("path", "bucket"), ())
    with pytest.raises(ValueError, match="kind folder needs bucket"):
        kind.check_options(store)


def test_a_new_kind_keeps_history_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(KINDS, Folder.name, Folder())
    store = without_checks(kind="folder", role="integrated", path=tmp_path / "x.db")
    for topic in ("metrics.downsampled", "anomalies", "alerts"):
        open_integrated(store, topic).close()
    open_history(store).close()

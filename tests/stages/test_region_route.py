"""Every window is one store's, or is counted as nobody's by one of them."""

import orjson
import pytest

from pipeline.runtime.settings import StoreSettings
from pipeline.stages.region_route import Destination, RegionRoute


def store(name: str, *regions: str) -> StoreSettings:
    return StoreSettings(name=name, kind="embedded", regions=regions, path=f"{name}.db")


def window(region: str | None) -> bytes:
    return orjson.dumps({"measurement": "cpu", "tags": {} if region is None else {"region": region}})


def destinations(stores: list[StoreSettings], value: bytes) -> str:
    """Give a letter for each store: m(ine), o(thers), n(obody's)."""
    return "".join(RegionRoute(each, stores).destination(value).name[0].lower() for each in stores)


@pytest.mark.parametrize(
    ("region", "expected"),
    [("eu-west", "moo"), ("us-east", "omo"), ("ap-south", "oom"), (None, "oom")],
)
def test_a_store_without_regions_takes_what_no_other_takes(region, expected):
    assert destinations([store("eu", "eu-*"), store("us", "us-*"), store("rest")], window(region)) == expected


@pytest.mark.parametrize(
    ("region", "expected"),
    [("eu-west", "mo"), ("us-east", "om"), ("ap-south", "no"), (None, "no")],
)
def test_what_no_store_takes_is_counted_by_the_first_alone(region, expected):
    assert destinations([store("eu", "eu-*"), store("us", "us-*")], window(region)) == expected


def test_a_single_store_takes_everything_unread():
    assert destinations([store("all")], b"no json") == "m"


@pytest.mark.parametrize(
    ("stores", "expected"),
    [
        ([store("eu", "eu-*"), store("rest")], "om"),
        ([store("eu", "eu-*"), store("us", "us-*")], "mo"),
    ],
)
def test_a_record_that_cannot_be_read_is_one_stores_to_reject(stores, expected):
    assert destinations(stores, b"no json") == expected


def test_destinations_are_remembered_within_bounds():
    route = RegionRoute(store("eu", "eu-*"), [store("eu", "eu-*"), store("rest")])
    for number in range(10_050):
        assert route.destination(window(f"x-{number}")) is Destination.OTHERS
    assert len(route._known) <= 10_000

"""Every window is one store's, or is counted as nobody's by one of them."""

import orjson
import pytest

from pipeline.stages.sink.region_route import Destination, RegionRoute
from pipeline.stores.settings import StoreSettings


def store(name: str, *regions: str) -> StoreSettings:
    return StoreSettings(name=name, kind="embedded", regions=regions, path=f"{name}.db")


def window(region: str | None, **tags: str) -> bytes:
    place = {} if region is None else {"region": region}
    return orjson.dumps({"measurement": "cpu", "tags": {**place, **tags}, "start_ms": 0})


def destinations(stores: list[StoreSettings], value: bytes) -> str:
    """Return a dead letter for each store: m(ine), o(thers), n(obody's)."""
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


def test_stores_of_one_region_share_its_series():
    stores = [store("eu-1", "eu-*"), store("eu-2", "eu-west"), store("rest")]
    found = {host: destinations(stores, window("eu-west", host=host)) for host in map(str, range(200))}
    assert set(found.values()) == {"moo", "omo"}
    assert 70 < list(found.values()).count("moo") < 130
    assert all(destinations(stores, window("eu-east", host=host)) == "moo" for host in found)


def test_stores_without_regions_share_the_rest():
    stores = [store("one"), store("two"), store("us", "us-*")]
    assert {destinations(stores, window("eu", host=str(n))) for n in range(50)} == {"moo", "omo"}
    assert destinations(stores, b"no json") in {"moo", "omo"}


def test_all_windows_of_a_series_go_to_one_store_in_whatever_way_they_are_written():
    stores = [store("one"), store("two")]
    route = RegionRoute(stores[0], stores)
    for host in map(str, range(50)):
        written = [
            window("eu", host=host),
            window("eu", host=host).replace(b'"start_ms":0', b'"start_ms":9'),
            orjson.dumps(orjson.loads(window("eu", host=host)), option=orjson.OPT_INDENT_2),
            orjson.dumps({"start_ms": 0, "tags": {"host": host, "region": "eu"}, "measurement": "cpu"}),
        ]
        assert len({route.destination(value) for value in written}) == 1


def test_a_record_that_cannot_be_read_tells_nothing_of_its_series():
    stores = [store("eu", "eu-*"), store("rest")]
    route = RegionRoute(stores[0], stores)
    whole = window("eu-west")
    assert route.destination(whole[:-1]) is Destination.OTHERS
    assert route.destination(whole) is Destination.MINE


def test_destinations_are_remembered_within_bounds():
    route = RegionRoute(store("eu", "eu-*"), [store("eu", "eu-*"), store("rest")])
    for number in range(100_050):
        assert route.destination(window(f"x-{number}")) is Destination.OTHERS
    assert len(route._known) <= 100_000
    assert len(route._names_by_region) <= 10_000

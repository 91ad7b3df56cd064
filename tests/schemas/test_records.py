"""What Cinnamon writes to Kafka has one shape, and consumers can rely on the exported JSON Schema of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

import schemas.records
from schemas.downsampled import DownsampledChunk
from schemas.export import RECORDS, json_schemas
from schemas.reasons import DeadLetterReason
from schemas.records import AggregatedWindow, DeadLetter, Record

WINDOW: dict[str, Any] = {
    "schema_version": 1,
    "measurement": "net",
    "tags": {"ns_id": "ns1", "infra_id": "i1", "node_id": "n1", "interface": "eth0"},
    "start_ms": 60_000,
    "end_ms": 120_000,
    "revision": 17,
    "fields": {
        "bytes_recv": {
            "min": 1.0,
            "max": 4.0,
            "avg": 2.5,
            "last": 4.0,
            "first": 1.0,
            "sum": 10.0,
            "count": 4,
            "increase": 3.0,
            "rate": 0.05,
        },
        "mtu": {
            "min": 1500.0,
            "max": 1500.0,
            "avg": 1500.0,
            "last": 1500.0,
            "first": 1500.0,
            "sum": 1500.0,
            "count": 1,
        },
    },
    "partition": 3,
    "first_offset": 11,
    "last_offset": 17,
    "lag_ms": 250,
}
DEAD_LETTER = DeadLetter(
    topic="metrics.raw",
    partition=2,
    offset=7,
    line=None,
    column=None,
    reason=DeadLetterReason.PARSE_SYNTAX,
    message="expected a field, got the end of the line",
    stage="aggregate",
    value=b"cpu\xff\xfe?>",
)


CHUNK: dict[str, Any] = {
    "schema_version": 1,
    "measurement": "cpu",
    "field": "usage_user",
    "tags": {"node_id": "n1"},
    "partition": 3,
    "start_ms": 0,
    "end_ms": 3_600_000,
    "first_ms": 10_000,
    "last_ms": 40_000,
    "gap": False,
    "kind": "gauge",
    "series_class": "smooth",
    "encoder": "lines",
    "n_raw": 4,
    "n_kept": 2,
    "sigma": 0.25,
    "max_error": 0.5,
    "min": 1.0,
    "max": 4.0,
    "sum": 10.0,
    "count": 4,
    "first_offset": 11,
    "last_offset": 17,
    "revision": 18,
    "points": [[10_000, 1.0, "s"], [40_000, 4.0, "l"]],
}


def schema_of(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(json_schemas()[name]))


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_a_record_says_its_version_first(name: str) -> None:
    assert next(iter(RECORDS[name].model_fields)) == "schema_version"
    assert json.loads(json_schemas()[name])["properties"]["schema_version"]["const"] == 1


@pytest.mark.parametrize(
    "record", [AggregatedWindow.model_validate(WINDOW), DEAD_LETTER], ids=lambda record: type(record).__name__
)
def test_a_record_begins_with_its_version_and_one_without_is_of_version_1(record: Record) -> None:
    text = record.to_json()

    assert text.startswith(b'{"schema_version":1,')
    assert type(record).model_validate_json(text.replace(b'"schema_version":1,', b"", 1)) == record


def test_a_record_of_a_version_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValidationError, match="schema_version"):
        AggregatedWindow.model_validate(WINDOW | {"schema_version": 2})


def test_a_window_survives_json_unchanged_and_leaves_unknown_rates_out() -> None:
    window = AggregatedWindow.model_validate(WINDOW)

    assert json.loads(window.to_json()) == WINDOW
    assert AggregatedWindow.model_validate_json(window.to_json()) == window
    schema_of("aggregated_window.json").validate(WINDOW)


def test_a_chunk_survives_json_unchanged() -> None:
    chunk = DownsampledChunk.model_validate_json(json.dumps(CHUNK))

    assert json.loads(chunk.to_json()) == CHUNK
    schema_of("downsampled_chunk.json").validate(CHUNK)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"end_ms": 40_000}, r"samples from 10000 to 40000 must be within \[0, 40000\)"),
        ({"n_kept": 3}, "n_kept is 3, and there are 2 points"),
        ({"points": [[10_000, 1.0, "s"], [10_000, 4.0, "l"]]}, "times must strictly increase"),
        ({"points": [[10_000, 1.0, "s"], [50_000, 4.0, "l"]]}, "points must be within 10000 to 40000"),
        ({"points": [[10_000, 1.0, "x"], [40_000, 4.0, "l"]]}, "Input should be 'l' or 's'"),
        ({"min": 5.0}, "min 5.0 is above max 4.0"),
        ({"first_offset": 18}, "first_offset 18 is above last_offset 17"),
        ({"sigma": -1.0}, "greater than or equal to 0"),
    ],
)
def test_a_chunk_that_contradicts_itself_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DownsampledChunk.model_validate_json(json.dumps(CHUNK | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"end_ms": 60_000}, "end_ms 60000 must be above start_ms 60000"),
        ({"revision": 16}, "revision 16 is below last_offset 17"),
        ({"first_offset": 18}, "first_offset 18 is above last_offset 17"),
        ({"lag_ms": -1}, "greater than or equal to 0"),
        ({"fields": {}}, "at least 1 item"),
        ({"start_ms": "60000"}, "valid integer"),
        ({"window": 1}, "Extra inputs are not permitted"),
        ({"fields": {"x": WINDOW["fields"]["mtu"] | {"min": 1501.5}}}, r"min 1501\.5 is above max 1500\.0"),
        ({"fields": {"x": WINDOW["fields"]["mtu"] | {"sum": float("nan")}}}, "finite number"),
        ({"fields": {"x": WINDOW["fields"]["mtu"] | {"count": 0}}}, "greater than or equal to 1"),
    ],
)
def test_a_window_that_contradicts_itself_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AggregatedWindow.model_validate(WINDOW | change)


def test_a_dead_letter_is_keyed_by_where_its_bytes_came_from() -> None:
    assert DEAD_LETTER.key() == "metrics.raw/2/7"


def test_a_dead_letter_carries_its_bytes_as_standard_base64_and_says_null_for_no_line() -> None:
    document = json.loads(DEAD_LETTER.to_json())

    assert document["value"] == "Y3B1//4/Pg=="
    assert document["line"] is None
    schema_of("dead_letter.json").validate(document)


@given(value=st.binary(max_size=200))
def test_a_dead_letter_gives_the_original_bytes_back(value: bytes) -> None:
    dead_letter = DEAD_LETTER.model_copy(update={"value": value})

    assert DeadLetter.model_validate_json(dead_letter.to_json()).value == value


@pytest.mark.parametrize("value", ["Y3B1__4_Pg==", "Y3B", "Y3 B1", "é"])
def test_a_dead_letter_whose_value_is_no_base64_is_refused(value: str) -> None:
    document = json.loads(DEAD_LETTER.to_json()) | {"value": value}

    with pytest.raises(ValidationError, match="must be base64 with the standard alphabet"):
        DeadLetter.model_validate_json(json.dumps(document))


def test_an_unknown_reason_is_refused() -> None:
    document = json.loads(DEAD_LETTER.to_json()) | {"reason": "BAD_LUCK"}

    with pytest.raises(ValidationError, match="PARSE_SYNTAX"):
        DeadLetter.model_validate_json(json.dumps(document))


def test_every_record_is_exported_and_the_exported_files_are_in_step() -> None:
    folder = Path(schemas.records.__file__).parent / "json"

    assert set(RECORDS.values()) == set(Record.__subclasses__())
    assert {path.name: path.read_text() for path in folder.iterdir()} == json_schemas(), "run: cinnamon schemas export"


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_an_exported_schema_is_valid_and_describes_every_property(name: str) -> None:
    schema = json.loads(json_schemas()[name])

    Draft202012Validator.check_schema(schema)
    models = [schema, *(model for model in schema.get("$defs", {}).values() if "properties" in model)]
    assert [key for model in models for key, value in model["properties"].items() if "description" not in value] == []

"""``cinnamon audit`` proves an undisturbed run, and names the place of whatever is tampered with."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

import topics
from pipeline.cli import app
from pipeline.core.records.identity.rekeying import ORIGIN_HEADER
from schemas.reasons import DeadLetterReason
from schemas.records import DeadLetter
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.stages.brokers import USED, Broker, Raw, Stored, pipeline_topics, produce, read_topic
from tests.support.stages.streams import BASE_MS, END, careless, end_line, fleet, settings_of
from tests.support.stages.worker import Worker, running

RECORDS = 300
TAGS = {"ns_id": "ns9", "infra_id": "m9"}
POISON = b"cpu,host=bad usage_user=1x 1"
FAR_MS = 4_000_000_000_000
FUTURE = b"cpu,host=wild usage_user=1 %d000000" % FAR_MS


@pytest.fixture(params=["own_embedded_broker", "kafka_broker"], ids=["embedded", "kafka"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """An embedded broker of the test alone, and a real one."""
    found: Broker = request.getfixturevalue(request.param)
    with pipeline_topics(found):
        yield found


def stream() -> list[Raw]:
    """Return late, too late, filtered, bad, future and keyless records, and what closes every window."""
    place: dict[str, Any] = {"key": b"host", "partition": 1, "timestamp_ms": BASE_MS}
    odd = [
        Raw(POISON, **place),
        Raw(FUTURE, **place),
        Raw(b'cpu,host=odd usage_user=1,name="text",load=2 %d000000\nnot a line' % BASE_MS, **place),
        Raw(b"cpu,host=odd usage_user=1 %d000000" % (BASE_MS + 300_000), **place),
        Raw(b"cpu,host=odd usage_user=1 %d000000" % BASE_MS, **place),  # too late
        Raw(end_line({"host": "odd"}), **place),
    ]
    records = fleet(3, RECORDS)
    middle = len(records) // 2
    return [*records[:middle], *careless(5, 60), *odd, *records[middle:]]


def worked(broker: Broker, tmp_path: Path, **sections: Any) -> Path:
    """Run a worker over the stream; give its settings file."""
    settings = settings_of(broker, rules=False, **sections)
    count = produce(broker, stream())
    with running(Worker(tmp_path / "worker", settings)) as worker:
        worker.wait_for(lambda scrape: scrape.total("rekeyed_records_total") == 60, "records with a key")
        produce(broker, [Raw(end_line({**TAGS, "node_id": node}), None) for node in ("c1", "c2")])
        again = sum(record.value.count(b"\n") + 1 for record in careless(5, 60))
        total = count + again + 2 + 2
        worker.wait_for(lambda scrape: scrape.total("input_records_total") >= total, f"{total} records")
    return tmp_path / "worker" / "settings.yaml"


def audit(broker: Broker, settings: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    options = ["--config", str(settings), "--bootstrap", broker.bootstrap_servers, "--from", "0", "--to", "now"]
    result = CliRunner().invoke(app, ["audit", *options, "--json", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.exit_code, json.loads(result.stdout)


def test_an_undisturbed_run_is_proved(broker: Broker, tmp_path: Path) -> None:
    status, report = audit(broker, worked(broker, tmp_path))
    assert (status, report["status"], report["first"]) == (0, "proved", None), report
    partitions = report["partitions"]
    assert sum(each["too_late"] for each in partitions) > 0
    assert sum(each["without_key"] for each in partitions) == 62
    assert sum(each["in_windows"] for each in partitions) > 1000
    assert sum(each["waiting"] for each in partitions) == 0
    ends = sum(record.value.startswith(END.encode()) for record in stream()) + 2
    assert sum(each["open"] for each in partitions) == ends
    filtered = {reason for each in partitions for reason in each["filtered"]}
    assert "string" in filtered
    dead_letters = Counter[str]()
    for each in partitions:
        dead_letters.update(each["dead_lettered"])
    assert dead_letters[DeadLetterReason.PARSE_NUMBER] >= 1
    assert dead_letters[DeadLetterReason.PARSE_SYNTAX] >= 1


@pytest.mark.parametrize("seed", [1])
def test_a_run_with_kills_is_proved(seed: int, broker: Broker, tmp_path: Path) -> None:
    records = fleet(20 + seed, RECORDS)
    settings = settings_of(broker, windows={"idle_close_s": 1})
    worker = Worker(tmp_path / "worker", settings)
    third = len(records) // 3
    count = 0
    for number in range(3):
        count += produce(broker, [*records[number * third : (number + 1) * third], *careless(seed + number, 20)])
        worker.start()
        worker.wait_for(lambda scrape: scrape.total("input_records_total") > third / 2, "a part of the records")
        worker.kill()
    count += produce(broker, [*records[3 * third :]])
    for _ in range(2):  # the second reads what the first produced once more with a key
        with running(worker):
            worker.ready()
            worker.wait_for(lambda scrape: scrape.total("lag_records") == 0, "the end of the records")
    for options in ([], ["--deep"]):
        status, report = audit(broker, worker.settings_file, *options)
        assert (status, report["faults"], report["undecided"]) == (0, {}, []), report["first"]


@dataclass(frozen=True)
class Written:
    """What lay on the topics after an undisturbed run."""

    settings: Path
    records: dict[str, list[Stored]]


@pytest.fixture(scope="module")
def written(module_embedded_broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """What an undisturbed run leaves, for every test that tampers with it."""
    directory = tmp_path_factory.mktemp("audited")
    with pipeline_topics(module_embedded_broker) as broker:
        settings = worked(broker, directory, windows={"dead_letter_late": True})
        return Written(settings, {topic: read_topic(broker, topic) for topic in USED})


Tampering = Callable[[list[Stored]], list[Stored]]
Audit = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def audit_of(written: Written, own_embedded_broker: EmbeddedBroker) -> Iterator[Audit]:
    """Audits a copy of the run's topics of which one is tampered with; without a topic, the last copy once more."""
    server = own_embedded_broker

    def run(topic: str | None, tampering: Tampering, *arguments: str) -> tuple[int, dict[str, Any]]:
        for name, records in written.records.items() if topic else ():
            copied = tampering(records) if name == topic else records
            again = [Raw(r.value, r.key, r.timestamp_ms, r.partition, list(r.headers.items())) for r in copied]
            produce(server, again, name)
        return audit(server, written.settings, *arguments)

    with pipeline_topics(server):
        yield run


def untouched(records: list[Stored]) -> list[Stored]:
    return records


def without(number: int) -> Tampering:
    return lambda records: [*records[:number], *records[number + 1 :]]


def latest_of(records: Sequence[Stored], function: str = "count") -> tuple[int, dict[str, Any]]:
    """Return the place and the content of a window's only record, from the middle of the topic on, with a function."""
    decoded = [orjson.loads(record.value) for record in records]
    windows = Counter((r["measurement"], str(r["tags"]), r["start_ms"]) for r in decoded)
    for number in range(len(records) // 2, len(records)):
        record = decoded[number]
        has_it = any(function in functions for functions in record["fields"].values())
        if has_it and windows[record["measurement"], str(record["tags"]), record["start_ms"]] == 1:
            return number, record
    raise AssertionError("every window was corrected")


def changed(number: int, change: Callable[[dict[str, Any]], None]) -> Tampering:
    """Change a record of metrics.agg in place."""

    def tamper(records: list[Stored]) -> list[Stored]:
        record = orjson.loads(records[number].value)
        change(record)
        return [*records[:number], replace(records[number], value=orjson.dumps(record)), *records[number + 1 :]]

    return tamper


AuditOf = Callable[..., tuple[int, dict[str, Any]]]


@pytest.mark.parametrize("options", [[], ["--deep"]])
def test_a_copy_of_the_run_is_proved(options: list[str], audit_of: AuditOf) -> None:
    status, report = audit_of(topics.METRICS_RAW, untouched, *options)
    assert (status, report["faults"], report["undecided"]) == (0, {}, [])


def test_a_window_that_is_missing_is_named(written: Written, audit_of: AuditOf) -> None:
    number, record = latest_of(written.records[topics.METRICS_AGG])
    status, report = audit_of(topics.METRICS_AGG, without(number))
    first = report["first"]
    assert (status, report["faults"]) == (1, {"window_missing": len(record["fields"])})
    assert (first["measurement"], first["tags"]) == (record["measurement"], record["tags"])
    assert (first["start_ms"], first["end_ms"]) == (record["start_ms"], record["end_ms"])
    assert first["field"] in record["fields"]
    assert (first["raw_partition"], first["raw_first_offset"]) == (record["partition"], record["first_offset"])


@pytest.mark.parametrize("by", [-1, 1])
def test_a_count_that_is_wrong_is_named(by: int, written: Written, audit_of: AuditOf) -> None:
    number, record = latest_of(written.records[topics.METRICS_AGG])
    name = max(record["fields"])

    def change(content: dict[str, Any]) -> None:
        content["fields"][name]["count"] += by

    status, report = audit_of(topics.METRICS_AGG, changed(number, change))
    first, stored = report["first"], written.records[topics.METRICS_AGG][number]
    assert (status, report["faults"]) == (1, {"count_wrong": 1})
    assert (first["measurement"], first["tags"], first["field"]) == (record["measurement"], record["tags"], name)
    assert (first["agg_partition"], first["agg_offset"]) == (stored.partition, stored.offset)
    assert (first["start_ms"], first["raw_last_offset"]) == (record["start_ms"], record["last_offset"])


def test_a_correction_that_is_missing_is_a_wrong_count(written: Written, audit_of: AuditOf) -> None:
    newest: dict[Any, int] = {}
    corrected = None
    for number, stored in enumerate(written.records[topics.METRICS_AGG]):
        record = orjson.loads(stored.value)
        window = (record["measurement"], str(record["tags"]), record["start_ms"])
        corrected = window if window in newest else corrected
        newest[window] = number
    assert corrected is not None
    status, report = audit_of(topics.METRICS_AGG, without(newest[corrected]))
    assert (status, list(report["faults"])) == (1, ["count_wrong"])
    assert (report["first"]["measurement"], report["first"]["start_ms"]) == (corrected[0], corrected[2])


def test_a_window_that_no_sample_explains_is_named(written: Written, audit_of: AuditOf) -> None:
    number, record = latest_of(written.records[topics.METRICS_AGG])
    length_ms = record["end_ms"] - record["start_ms"]

    def change(content: dict[str, Any]) -> None:
        content["start_ms"], content["end_ms"] = 0, length_ms

    def more(records: list[Stored]) -> list[Stored]:
        return [*records, changed(number, change)(records)[number]]

    status, report = audit_of(topics.METRICS_AGG, more)
    assert (status, report["faults"]) == (1, {"count_wrong": len(record["fields"])})
    assert report["first"]["start_ms"] == 0


def other_than(value: float) -> float:
    """Return another number; one of the stream's is so large that adding to it changes nothing."""
    return value / 2 + 0.123


def test_one_revision_with_two_contents_is_named(written: Written, audit_of: AuditOf) -> None:
    number, record = latest_of(written.records[topics.METRICS_AGG])
    name = next(iter(record["fields"]))

    def change(content: dict[str, Any]) -> None:
        content["fields"][name]["last"] = other_than(content["fields"][name]["last"])

    def more(records: list[Stored]) -> list[Stored]:
        return [*records, changed(number, change)(records)[number]]

    status, report = audit_of(topics.METRICS_AGG, more)
    assert (status, list(report["faults"])) == (1, ["two_contents"])
    assert report["first"]["measurement"] == record["measurement"]


def test_a_record_written_twice_is_no_fault(audit_of: AuditOf) -> None:
    status, report = audit_of(topics.METRICS_AGG, lambda records: [*records, *records[:100]])
    assert (status, report["faults"]) == (0, {})


@pytest.mark.parametrize("key", ["partition", "revision", "end_ms"])
def test_a_record_that_contradicts_itself_is_named(key: str, written: Written, audit_of: AuditOf) -> None:
    number, record = latest_of(written.records[topics.METRICS_AGG])

    def change(content: dict[str, Any]) -> None:
        content[key] = {"partition": 99, "revision": 0, "end_ms": record["end_ms"] + 1}[key]

    status, report = audit_of(topics.METRICS_AGG, changed(number, change))
    assert status == 1
    assert report["faults"]["bad_record"] == 1
    assert report["first"]["start_ms"] == record["start_ms"]


@pytest.mark.parametrize("reason", ["PARSE_NUMBER", "PARSE_SYNTAX", "TIMESTAMP_FUTURE", "TOO_LATE"])
def test_a_dead_letter_that_is_missing_is_named(reason: str, written: Written, audit_of: AuditOf) -> None:
    dead_letters = [DeadLetter.model_validate_json(r.value) for r in written.records[topics.DEAD_LETTERS]]
    places = [dead_letter.offset for dead_letter in dead_letters if dead_letter.reason == reason]
    number = next(i for i, each in enumerate(dead_letters) if each.reason == reason and places.count(each.offset) == 1)
    status, report = audit_of(topics.DEAD_LETTERS, without(number))
    first = report["first"]
    assert (status, report["faults"]) == (1, {"dead_letter_missing": 1})
    assert (first["raw_partition"], first["raw_first_offset"]) == (
        dead_letters[number].partition,
        dead_letters[number].offset,
    )
    assert reason in first["message"]


def test_a_part_that_was_not_produced_again_is_named(written: Written, audit_of: AuditOf) -> None:
    raw = written.records[topics.METRICS_RAW]
    number = max(i for i, record in enumerate(raw) if ORIGIN_HEADER in record.headers)
    origin = raw[number].headers[ORIGIN_HEADER].split(b"/")

    def unrelated(records: list[Stored]) -> list[Stored]:  # counts and offsets stay as they are
        return [*records[:number], replace(records[number], headers={}), *records[number + 1 :]]

    status, report = audit_of(topics.METRICS_RAW, unrelated)
    assert (status, report["faults"]) == (1, {"part_missing": 1})
    message = f"metrics.raw/{int(origin[0])}/{int(origin[1])} has no key, and its part {int(origin[2])}"
    assert report["first"]["message"].startswith(message)


def test_what_is_not_processed_yet_is_undecided(written: Written, audit_of: AuditOf) -> None:
    more = Raw(b"cpu,host=new usage_user=1 %d000000" % (BASE_MS + 1), b"host", BASE_MS, 1)

    def longer(records: list[Stored]) -> list[Stored]:
        return [*records, Stored(1, -1, more.key, more.value, BASE_MS, {})]

    status, report = audit_of(topics.METRICS_RAW, longer)
    assert (status, report["faults"]) == (3, {})
    assert report["undecided"] == ["the worker has not processed all records of the period"]


def test_an_empty_period_is_undecided_and_bad_use_is_2(audit_of: AuditOf, written: Written) -> None:
    status, report = audit_of(topics.METRICS_RAW, untouched, "--from", "1000", "--to", "2000")
    assert (status, report["undecided"]) == (3, ["there is nothing to check in the period"])
    for options in (["--from", "2", "--to", "1"], ["--from", "never"], ["--bootstrap", "127.0.0.1:1"]):
        result = CliRunner().invoke(app, ["audit", *options, "--timeout-s", "1"])
        assert (result.exit_code, result.stdout) == (2, ""), options
        assert result.stderr


@pytest.mark.parametrize("function", ["max", "sum", "increase"])
def test_a_value_that_is_wrong_is_named_by_a_deep_audit_alone(
    function: str, written: Written, audit_of: AuditOf
) -> None:
    records = written.records[topics.METRICS_AGG]
    number, record = latest_of(records, function)
    name = next(name for name, functions in record["fields"].items() if function in functions)

    def change(content: dict[str, Any]) -> None:
        content["fields"][name][function] = other_than(content["fields"][name][function])

    assert audit_of(topics.METRICS_AGG, changed(number, change))[0] == 0
    status, report = audit_of(None, untouched, "--deep")
    first = report["first"]
    assert (status, report["faults"]) == (1, {"value_wrong": 1})
    assert (first["measurement"], first["tags"], first["field"]) == (record["measurement"], record["tags"], name)
    assert first["agg_offset"] == records[number].offset

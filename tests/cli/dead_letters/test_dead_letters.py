"""``cinnamon dead-letters`` lists, shows and replays what was refused, and replays each dead letter once."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from typer.testing import CliRunner, Result

import topics
from pipeline.cli import app
from pipeline.runtime.kafka.dead_letter_log import MARK_HEADER, REPLAY_HEADER, ReplayMark, ReplayState, StoredDeadLetter
from pipeline.runtime.kafka.dead_letter_replay import ANNOUNCED_FOR_MS
from schemas.reasons import DeadLetterReason
from schemas.records import DeadLetter
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.kafka import KafkaBroker
from tests.support.servers.process import free_ports
from tests.support.stages.brokers import Broker, Raw, Stored, pipeline_topics, produce, read_topic
from tests.support.stages.worker import Worker, running

R = DeadLetterReason
BASE_MS = 1_780_000_000_000
LINE = b"cpu,node_id=vm-1,ns_id=n,infra_id=m v=3 1780000003000000000"
KEY = b"n/m/vm-1"


@pytest.fixture
def broker(own_embedded_broker: EmbeddedBroker) -> Iterator[EmbeddedBroker]:
    """A broker of this test alone, as the topics' names are the same for all."""
    with pipeline_topics(own_embedded_broker, partitions=2):
        yield own_embedded_broker


@pytest.fixture(params=["own_embedded_broker", "kafka_broker"], ids=["broker", "kafka_broker"])
def either(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """The embedded broker, and a real one."""
    found: Broker = request.getfixturevalue(request.param)
    with pipeline_topics(found, partitions=2):
        yield found


def run(broker: Broker, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["dead-letters", *arguments, "--bootstrap", broker.bootstrap_servers])


def dead_letter(reason: DeadLetterReason = R.TIMESTAMP_FUTURE, value: bytes = LINE, **changes: Any) -> DeadLetter:
    fields: dict[str, Any] = {
        "topic": topics.METRICS_RAW,
        "partition": 1,
        "offset": 17,
        "line": 1,
        "column": 1,
        "message": "not taken",
        "stage": "aggregate",
    }
    return DeadLetter(reason=reason, value=value, **{**fields, **changes})


def write(broker: Broker, *dead_letters: DeadLetter, timestamp_ms: int = -1) -> None:
    records = [Raw(each.to_json(), each.key().encode(), timestamp_ms) for each in dead_letters]
    produce(broker, records, topics.DEAD_LETTERS)


def name_of(of: DeadLetter) -> str:
    return StoredDeadLetter(of, 0, 0, 0).name


def announce(broker: Broker, of: DeadLetter, *, age_ms: int, source_offset: int = 0) -> None:
    header = ReplayMark(ReplayState.ANNOUNCED, name_of(of), source_offset).header()
    now_ms = time.time_ns() // 1_000_000
    record = Raw(None, of.key().encode(), now_ms - age_ms, headers=[header])  # type: ignore[arg-type]
    produce(broker, [record], topics.DEAD_LETTERS)


def replayed(broker: Broker, topic: str = topics.METRICS_RAW) -> list[Stored]:
    return [record for record in read_topic(broker, topic) if REPLAY_HEADER in record.headers]


def marks(broker: Broker) -> Sequence[bytes]:
    stored = read_topic(broker, topics.DEAD_LETTERS)
    return [record.headers[MARK_HEADER] for record in stored if MARK_HEADER in record.headers]


def test_list_counts_by_reason_and_stage_and_gives_the_newest(broker: EmbeddedBroker) -> None:
    write(broker, dead_letter(R.PARSE_NUMBER, b"cpu v=1x", offset=1, line=2, column=7), timestamp_ms=BASE_MS)
    write(broker, dead_letter(offset=2), timestamp_ms=BASE_MS + 1000)
    write(broker, dead_letter(offset=3), dead_letter(offset=4, stage="sink-eu"), timestamp_ms=BASE_MS + 2000)

    result = run(broker, "list", "--json", "--limit", "3")

    document = json.loads(result.stdout)
    assert (result.exit_code, result.stderr) == (0, "")
    assert document["counts"] == [
        {"reason": "PARSE_NUMBER", "stage": "aggregate", "letters": 1},
        {"reason": "TIMESTAMP_FUTURE", "stage": "aggregate", "letters": 2},
        {"reason": "TIMESTAMP_FUTURE", "stage": "sink-eu", "letters": 1},
    ]
    assert document["letters"][0]["place"] == "metrics.raw/1/2"
    assert {row["place"] for row in document["letters"]} == {f"metrics.raw/1/{n}" for n in (2, 3, 4)}

    table = run(broker, "list").stdout
    assert "PARSE_NUMBER" in table
    assert "metrics.raw/1/1  2:7" in table


@pytest.mark.parametrize(
    ("options", "offsets"),
    [
        (["--reason", "PARSE_NUMBER"], [1]),
        (["--reason", "parse_number", "--reason", "NO_FIELDS"], [1, 2]),
        (["--stage", "sink-eu"], [3]),
        (["--since", "1h"], [4]),
        (["--from", str(BASE_MS), "--to", str(BASE_MS + 1)], [1, 2, 3]),
        (["--limit", "0"], []),
    ],
)
def test_filters_leave_out_the_rest(filtered_broker: EmbeddedBroker, options: list[str], offsets: list[int]) -> None:
    rows = json.loads(run(filtered_broker, "list", "--json", *options).stdout)["letters"]
    assert sorted(int(row["place"].rpartition("/")[2]) for row in rows) == offsets


@pytest.fixture(scope="module")
def filtered_broker(module_embedded_broker: EmbeddedBroker) -> Iterator[EmbeddedBroker]:
    """A broker with four dead letters, that tests only read."""
    with pipeline_topics(module_embedded_broker, partitions=2) as server:
        old = [
            dead_letter(R.PARSE_NUMBER, offset=1),
            dead_letter(R.NO_FIELDS, offset=2),
            dead_letter(offset=3, stage="sink-eu"),
        ]
        write(server, *old, timestamp_ms=BASE_MS)
        write(server, dead_letter(offset=4))
        yield module_embedded_broker


def test_what_is_no_dead_letter_is_counted_and_does_no_harm(broker: EmbeddedBroker) -> None:
    produce(broker, [Raw(b"{}"), Raw(b"\xff")], topics.DEAD_LETTERS)
    write(broker, dead_letter())

    result = run(broker, "list")

    assert result.exit_code == 0
    assert result.stderr == "2 records of the topic are no dead letters.\n"
    assert run(broker, "replay", "--yes").stdout == "1 dead letters replayed\n"


def test_show_gives_every_dead_letter_of_a_record_with_its_bytes_once(broker: EmbeddedBroker) -> None:
    text, binary = dead_letter(R.PARSE_SYNTAX, "cpu é".encode()), dead_letter(R.PARSE_SYNTAX, b"\xff\x00ab", line=2)
    write(broker, text, binary, text, dead_letter(offset=18, value=b"other"))

    result = run(broker, "show", "metrics.raw/1/17")

    assert result.exit_code == 0
    assert "metrics.raw/1/17 at 1:1: PARSE_SYNTAX, stage aggregate" in result.stdout
    assert result.stdout.count("cpu é") == 1
    assert "00000000  ff 00 61 62" in result.stdout
    assert "other" not in result.stdout
    assert run(broker, "show", "--raw", "metrics.raw/1/18").stdout_bytes == b"other"


def test_show_of_a_record_without_dead_letters_is_status_1(broker: EmbeddedBroker) -> None:
    result = run(broker, "show", "metrics.raw/1/17")
    assert (result.exit_code, result.stderr) == (1, "metrics.raw/1/17 has no dead letter.\n")


def test_a_dead_letter_goes_back_to_its_partition_under_its_resource_once(either: Broker) -> None:
    write(either, dead_letter(partition=0), dead_letter(partition=1, value=LINE + b"\n", line=2))
    write(either, dead_letter(partition=0))  # as a restart writes it again

    assert run(either, "replay", "--yes").stdout == "2 dead letters replayed\n"
    assert run(either, "replay", "--yes").stdout == "0 dead letters replayed\n2 left alone: replayed before\n"

    found = [(record.partition, record.key, record.value) for record in replayed(either)]
    assert found == [(0, KEY, LINE), (1, KEY, LINE + b"\n")]
    rows = json.loads(run(either, "list", "--json").stdout)["letters"]
    assert [row["is_replayed"] for row in rows] == [True, True]


def test_a_dry_run_writes_nothing_and_a_limit_is_kept(broker: EmbeddedBroker) -> None:
    write(broker, *(dead_letter(offset=offset) for offset in range(5)))

    assert run(broker, "replay", "--dry-run").stdout == "5 dead letters would be replayed\n"
    assert (replayed(broker), marks(broker)) == ([], [])

    assert run(broker, "replay", "--yes", "--limit", "2").stdout == "2 dead letters replayed\n"
    assert run(broker, "replay", "--yes").stdout == "3 dead letters replayed\n2 left alone: replayed before\n"
    assert len(replayed(broker)) == 5


def test_what_was_announced_and_produced_before_a_crash_is_not_produced_again(either: Broker) -> None:
    written = dead_letter(partition=1)
    write(either, written)
    announce(either, written, age_ms=ANNOUNCED_FOR_MS + 60_000)
    produce(either, [Raw(LINE, KEY, partition=1, headers=[(REPLAY_HEADER, name_of(written).encode())])])

    assert run(either, "replay", "--yes").stdout == "0 dead letters replayed\n1 left alone: replayed before\n"
    assert len(replayed(either)) == 1
    assert sum(mark.startswith(b"replayed/") for mark in marks(either)) == 1


def test_what_was_announced_and_not_produced_before_a_crash_is_produced(broker: EmbeddedBroker) -> None:
    write(broker, dead_letter())
    announce(broker, dead_letter(), age_ms=ANNOUNCED_FOR_MS + 60_000)

    assert run(broker, "replay", "--yes").stdout == "1 dead letters replayed\n"
    assert len(replayed(broker)) == 1


def test_what_another_replay_has_just_announced_is_left_to_it(broker: EmbeddedBroker) -> None:
    write(broker, dead_letter())
    announce(broker, dead_letter(), age_ms=1000)

    result = run(broker, "replay", "--yes")

    assert result.exit_code == 1
    assert result.stdout.endswith("1 left alone: announced by another replay in the last minutes\n")
    assert replayed(broker) == []


@pytest.mark.real
def test_what_was_announced_is_in_doubt_where_its_topics_records_are_deleted(kafka_broker: KafkaBroker) -> None:
    with pipeline_topics(kafka_broker, partitions=2) as broker:
        produce(broker, [Raw(LINE, KEY, partition=1)] * 3)
        write(broker, dead_letter())
        announce(broker, dead_letter(), age_ms=ANNOUNCED_FOR_MS + 60_000)
        client = kafka_broker.admin()
        for done in client.delete_records([TopicPartition(topics.METRICS_RAW, 1, 2)]).values():
            done.result(30)

        result = run(broker, "replay", "--yes")

        assert result.exit_code == 1
        assert "1 left alone: announced, and the records that would tell are deleted\n" in result.stdout
        assert replayed(broker) == []


def test_a_dead_letter_from_another_topic_goes_nowhere(broker: EmbeddedBroker) -> None:
    write(broker, dead_letter(topic="policies"))

    result = run(broker, "replay", "--yes")

    assert (result.exit_code, marks(broker)) == (1, [])
    assert "1 left alone: from a topic that nothing is replayed to\n" in result.stdout


def test_a_timestamp_that_is_still_ahead_waits(broker: EmbeddedBroker) -> None:
    hour_ahead_ns = time.time_ns() + 3_600_000_000_000
    write(broker, dead_letter(value=b"cpu,host=a v=1 %d" % hour_ahead_ns))

    result = run(broker, "replay", "--yes")

    assert result.exit_code == 0
    assert result.stdout == "0 dead letters replayed\n1 left alone: still ahead of the clock\n"
    assert marks(broker) == []


def test_other_reasons_are_replayed_when_named_with_the_key_of_the_original_record(either: Broker) -> None:
    originals = [
        Raw(b"cpu v=1x", b"vm-1", BASE_MS, 1, [("cinnamon-origin", b"0/5/0"), ("from", b"gateway")]),
        Raw(b"cpu v=2x", None, BASE_MS, 1),
    ]
    produce(either, originals)
    write(either, *(dead_letter(R.PARSE_NUMBER, raw.value, offset=i) for i, raw in enumerate(originals)))
    write(either, dead_letter(R.PARSE_NUMBER, b"cpu v=3x", offset=999))

    assert run(either, "replay", "--yes").stdout == "0 dead letters replayed\n"
    result = run(either, "replay", "--yes", "--reason", "PARSE_NUMBER")

    assert result.exit_code == 1
    assert result.stdout == (
        "2 dead letters replayed\n1 left alone: without its original record, which tells the key or the time\n"
    )
    # the dead letters lie in several partitions of their topic: their order is not promised
    first, second = sorted(replayed(either), key=lambda record: record.value)
    assert (first.partition, first.key, first.timestamp_ms) == (1, b"vm-1", BASE_MS)
    assert first.headers.keys() == {REPLAY_HEADER, "from"}
    assert (second.partition, second.key, second.value) == (1, None, b"cpu v=2x")


def test_a_rejected_window_goes_back_unless_a_later_revision_followed(either: Broker) -> None:
    def window(host: str, revision: int) -> bytes:
        times = f'"start_ms":0,"end_ms":10000,"revision":{revision}'
        return f'{{"measurement":"cpu","tags":{{"host":"{host}"}},{times}}}'.encode()

    produce(either, [Raw(window(host, 7), host.encode(), partition=0) for host in "ab"], topics.METRICS_AGG)
    produce(either, [Raw(window("b", 9), b"b", partition=0)], topics.METRICS_AGG)
    for offset, host in enumerate("ab"):
        place = {"topic": topics.METRICS_AGG, "partition": 0, "offset": offset, "line": None, "column": None}
        write(either, dead_letter(R.STORE_REJECTED, window(host, 7), stage="sink-eu", **place))

    result = run(either, "replay", "--yes")

    assert result.stdout == "1 dead letters replayed\n1 left alone: superseded by a later revision of its window\n"
    assert [(record.key, record.value) for record in replayed(either, topics.METRICS_AGG)] == [(b"a", window("a", 7))]


def test_a_dead_letter_replayed_twice_is_in_its_window_once(broker: EmbeddedBroker, tmp_path: Path) -> None:
    tags = LINE.partition(b" ")[0]
    siblings = [Raw(tags + b" v=1 1780000001000000000", b"vm-1", BASE_MS, 1)]
    produce(broker, siblings)
    write(broker, dead_letter(partition=1))
    for _ in range(2):
        assert run(broker, "replay", "--yes").exit_code == 0
    produce(broker, [Raw(tags + b" v=9 1780000100000000000", b"vm-1", BASE_MS, 1)])

    settings = {
        "kafka": {"bootstrap_servers": broker.bootstrap_servers, "session_timeout_s": 3},
        "windows": {"every_s": 10, "grace_s": 2},
    }
    with running(Worker(tmp_path / "worker", settings)) as worker:
        worker.wait_for(lambda scrape: scrape.total("emitted_windows_total") >= 1, "the window")
        scrape = worker.scrape()
    first, *_ = [json.loads(record.value) for record in read_topic(broker, topics.METRICS_AGG)]

    assert first["start_ms"] == BASE_MS
    assert (first["fields"]["v"]["count"], first["fields"]["v"]["sum"]) == (2, 4.0)
    assert scrape.total("misplaced_resources_total") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "--reason", "LAZINESS"], "LAZINESS"),
        (["list", "--since", "1h", "--from", "1"], "give one of --since and --from"),
        (["list", "--since", "often"], "'often' is no duration"),
        (["show", "metrics.raw/1"], "must be TOPIC/PARTITION/OFFSET"),
        (["replay", "--yes", "--reason", "TOO_LATE"], "TOO_LATE is never replayed"),
        (["replay", "--yes", "--reason", "UNREADABLE_BATCH"], "a batch of Kafka's"),
        (["replay"], "give --yes or --dry-run"),
    ],
)
def test_bad_use_is_status_2(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["dead-letters", *arguments])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize("arguments", [["list"], ["show", "a/0/0"], ["replay", "--yes"]])
def test_a_broker_that_is_not_there_is_one_line_and_status_1(
    arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    (port,) = free_ports(1)
    options = ["--bootstrap", f"127.0.0.1:{port}", "--timeout-s", "1"]

    result = CliRunner().invoke(app, ["dead-letters", *arguments, *options])

    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith(f"no Kafka broker at 127.0.0.1:{port}: ")
    assert capfd.readouterr().err == ""

"""``cinnamon audit`` proves an undisturbed run, and names the place of whatever is tampered with."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from schemas.reasons import DeadLetterReason
from tests.real.kafka import KafkaBroker
from tests.real.tansu import EmbeddedBroker
from tests.stages.brokers import Broker, Raw, pipeline_topics, produce
from tests.stages.streams import BASE_MS, END, careless, end_line, fleet, settings_of
from tests.stages.worker import Worker, running

RECORDS = 300
TAGS = {"ns_id": "ns9", "infra_id": "m9"}
POISON = b"cpu,host=bad usage_user=1x 1"
FAR_MS = 4_000_000_000_000
FUTURE = b"cpu,host=wild usage_user=1 %d000000" % FAR_MS


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.real)])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """An embedded broker of the test alone, and a real one."""
    if request.param == "kafka":
        found: KafkaBroker = request.getfixturevalue("kafka_broker")
        with pipeline_topics(found):
            yield found
        return
    server = EmbeddedBroker(tmp_path / "broker").start()
    with pipeline_topics(server):
        yield server
    server.stop()


def stream() -> list[Raw]:
    """Give late, too late, filtered, bad, future and keyless records, and what closes every window."""
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
    letters = Counter[str]()
    for each in partitions:
        letters.update(each["dead_lettered"])
    assert letters[DeadLetterReason.PARSE_NUMBER] >= 1
    assert letters[DeadLetterReason.PARSE_SYNTAX] >= 1

"""What is malformed, hostile or of another time harms nothing beside it; each record's dead letter: tests/stages."""

import random

import pytest

import topics
from tests.support.core.random_logs import BASE_MS
from tests.support.core.reference_windows import Record
from tests.support.faults.load import DAYS_AHEAD_MS, PARTITIONS, POISON, ahead_host, load
from tests.support.faults.sizes import only_full
from tests.support.faults.system import System
from tests.support.faults.verdict import assert_undisturbed, read_dead_letters
from tests.support.stages.brokers import Raw, Stored, read_topic
from tests.support.stages.streams import Place, decoded, expected, latest

RECORDS = 300
POISON_RECORDS = 5000

pytestmark = pytest.mark.real


def with_key(stream: list[Raw]) -> list[Raw]:
    """Leave out what has no key: it comes again at offsets that depend on the worker's pace."""
    return [record for record in stream if record.key is not None]


def as_stored(stream: list[Raw]) -> list[Stored]:
    """Return a stream as a broker would hold it."""
    ends = dict.fromkeys(range(PARTITIONS), 0)
    stored = []
    for record in stream:
        assert record.partition is not None
        place = (record.partition, ends[record.partition])
        ends[record.partition] += 1
        stored.append(Stored(*place, record.key, record.value or b"", record.timestamp_ms, {}))
    return stored


def fields_of(windows: dict[Place, Record]) -> dict[Place, object]:
    """Return what is in the windows of all agents but those whose clocks are wrong, wherever it lies in the log."""
    wrong = {ahead_host(partition) for partition in range(PARTITIONS)}
    return {place: record["fields"] for place, record in windows.items() if record["tags"].get("node_id") not in wrong}


def test_an_agent_whose_clock_is_days_ahead_changes_no_window_of_another(system: System, seed: int) -> None:
    assert DAYS_AHEAD_MS > 24 * 3600 * 1000
    system.produce(with_key(load(seed, RECORDS)))
    system.finish(system.worker())
    without = expected(as_stored(with_key(load(seed, RECORDS, ahead=False))), system.settings)
    got = latest(decoded(read_topic(system.broker, topics.METRICS_AGG)))
    assert fields_of(got) == fields_of(latest(without.records))
    assert_undisturbed(system)


@only_full
def test_a_flood_of_poison_is_all_dead_letters_and_holds_up_nothing(system: System, seed: int) -> None:
    r = random.Random(seed)
    stream = load(seed, RECORDS)
    flood = [Raw(r.choice(POISON[:-1]), b"bad", BASE_MS, r.randrange(PARTITIONS)) for _ in range(POISON_RECORDS)]
    middle = len(stream) // 2
    system.produce([*stream[:middle], *flood, *stream[middle:]])
    system.finish(system.worker())
    assert len(read_dead_letters(system)) >= POISON_RECORDS
    assert_undisturbed(system)

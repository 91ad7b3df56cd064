"""How far sink workers are, from their metrics, and what they could not write."""

from collections.abc import Sequence

import topics
from schemas.records import DeadLetter
from tests.support.core.reference_windows import Record
from tests.support.stages.brokers import Broker, read_topic
from tests.support.stages.streams import decoded
from tests.support.stages.worker import Scrape, Worker


def decided(scrape: Scrape, **labels: str) -> float:
    """Count what the stores took, left out or refused."""
    return sum(scrape.total(f"{name}_points_total", **labels) for name in ("written", "superseded", "rejected"))


def emitted_by(scrape: Scrape) -> float:
    """Count the records of metrics.agg that a worker made."""
    return scrape.total("emitted_windows_total") + scrape.total("corrected_windows_total")


def until_written(worker: Worker, records: int) -> Scrape:
    """Wait until that many records are aggregated, and each record emitted of them is in its store."""
    return worker.wait_for(
        lambda scrape: (
            scrape.total("input_records_total", stage="aggregate") >= records
            and decided(scrape) >= emitted_by(scrape)
            and scrape.total("paused_partitions") == 0
        ),
        f"the windows of {records} records in the stores",
        timeout_s=120.0,
    )


def in_region(records: Sequence[Record], region: str) -> list[Record]:
    """Return the records of one region."""
    return [record for record in records if record["tags"].get("region") == region]


def emitted_now(broker: Broker) -> list[Record]:
    """Return what lies on metrics.agg."""
    return decoded(read_topic(broker, topics.METRICS_AGG))


def dead_letters_of(broker: Broker, stage: str) -> list[DeadLetter]:
    """Return the dead letters of one stage."""
    dead_letters = [DeadLetter.model_validate_json(stored.value) for stored in read_topic(broker, topics.DEAD_LETTERS)]
    return [dead_letter for dead_letter in dead_letters if dead_letter.stage == stage]

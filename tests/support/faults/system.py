"""The whole system of a fault test: a broker, a database, and workers of one deployment that come and go."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

import topics
from tests.support.servers.influxdb import InfluxDB
from tests.support.servers.kafka import KafkaBroker
from tests.support.stages.brokers import Raw, produce
from tests.support.stages.databases import influxdb_store
from tests.support.stages.streams import settings_of
from tests.support.stages.worker import Scrape, Worker
from tests.support.waiting import wait_until

IDLE_CLOSE_S = 600
"""No test takes so long that the clock forgets a resource; by event time it happens."""
SESSION_TIMEOUT_S = 3.0
"""How long a killed worker keeps its partitions."""
ANSWER_TIMEOUT_S = 10.0
DONE_TIMEOUT_S = 120.0
STARTING = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
}


class System:
    """What a test disturbs.

    Parameters
    ----------
    broker, influxdb
        Running; the pipeline's topics are there and empty.
    directory
        Where the workers' files go.
    """

    def __init__(self, broker: KafkaBroker, influxdb: InfluxDB, directory: Path) -> None:
        self.broker = broker
        self.influxdb = influxdb
        self.bucket = influxdb.create_bucket(directory.name)
        self.settings = self.with_stores(influxdb_store("one", influxdb, self.bucket))
        self._directory = directory
        self._workers: list[Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.discard()

    def with_stores(self, *stores: Mapping[str, Any], **sections: Any) -> dict[str, Any]:
        """Return settings with these stores, under which a worker takes few records at once and saves often."""
        return settings_of(
            self.broker,
            stores=list(stores),
            kafka={"fetch_max_bytes": 2048, "session_timeout_s": SESSION_TIMEOUT_S},
            windows={"idle_close_s": IDLE_CLOSE_S},
            **sections,
        )

    def worker(self, name: str = "worker", stages: str = "aggregate,sink") -> Worker:
        """Return a worker that does not run yet."""
        worker = Worker(self._directory / name, self.settings, stages)
        self._workers.append(worker)
        return worker

    def produce(self, records: Sequence[Raw]) -> int:
        """Produce in small batches, so that a fetch may hold few records; give how many."""
        return produce(self.broker, records, **{"linger.ms": 0, "batch.num.messages": 5})

    @property
    def settings_file(self) -> Path:
        """The file of a worker's settings."""
        return self._workers[0].settings_file

    @property
    def groups(self) -> dict[str, str]:
        """Return the topic that each consumer group reads."""
        sinks = {f"cinnamon-sink-{store['name']}": topics.METRICS_AGG for store in self.settings["stores"]}
        return {"cinnamon-aggregate": topics.METRICS_RAW, **sinks}

    def committed(self, group: str) -> dict[int, int]:
        """Return what a group has committed of its topic: the next offset of each partition, 0 for none."""
        return {partition: done for partition, (done, _) in self._progress(group).items()}

    def is_done(self) -> bool:
        """Return whether every group has committed all that its topic holds; a broker that just started may not say."""
        try:
            return all(done == end for group in self.groups for done, end in self._progress(group).values())
        except KafkaException as error:
            if error.args[0].code() not in STARTING:
                raise
            return False

    def wait_until_done(self, worker: Worker, timeout_s: float = DONE_TIMEOUT_S) -> None:
        """Wait until everything is read, written and committed."""
        try:
            wait_until(
                self.is_done, timeout_s=timeout_s, what="all committed", every_s=0.3, alive=lambda: worker.is_running
            )
        except TimeoutError as error:
            progress = {group: self._progress(group) for group in self.groups}
            raise AssertionError(f"{error}: {progress}\n{worker.log()[-8000:]}") from error

    def finish(self, worker: Worker) -> None:
        """Let a worker do all that is left, and end it with SIGTERM."""
        if not worker.is_running:
            worker.start()
        self.wait_until_done(worker)
        worker.stop()

    def _progress(self, group: str) -> dict[int, tuple[int, int]]:
        """Return what a group has committed, and the end, of each partition."""
        topic = self.groups[group]
        consumer = Consumer({"bootstrap.servers": self.broker.bootstrap_servers, "group.id": group})
        try:
            partitions = consumer.list_topics(topic, timeout=ANSWER_TIMEOUT_S).topics[topic].partitions
            asked = [TopicPartition(topic, partition) for partition in partitions]
            done = consumer.committed(asked, timeout=ANSWER_TIMEOUT_S)
            return {
                each.partition: (
                    max(0, each.offset),
                    consumer.get_watermark_offsets(TopicPartition(topic, each.partition), timeout=ANSWER_TIMEOUT_S)[1],
                )
                for each in done
            }
        finally:
            consumer.close()


def has_read(worker: Worker, records: float) -> Scrape:
    """Wait until a process has read that many records of metrics.raw."""
    return worker.wait_for(
        lambda scrape: scrape.total("input_records_total", stage="aggregate") >= records, f"{records} records read"
    )

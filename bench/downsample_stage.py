"""CPU a message of the stage downsample, on a real broker and worker: ``python -m bench.downsample_stage``.

A fleet's messages of ten fields lie on metrics.raw before the worker starts; it reads them as fast as it can, cuts and
encodes chunks and writes them. Counted is the worker's CPU from its readiness for work until nothing waits, its start
and the loading of kernels left out.
"""

import argparse
import tempfile
from pathlib import Path

import psutil

import topics
from bench.broker import PARTITIONS, kafka
from bench.end_to_end import cpu_model
from bench.messages import FIELDS
from bench.produce import add_fleet_arguments, fleet_of, produce
from bench.worker import worker
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.kafka.topic_reader import TopicReader
from topics.catalogue import load_topics
from topics.plan import wanted_topics

_TOPICS = {
    *(topics.METRICS_RAW, topics.METRICS_AGG, topics.METRICS_DOWNSAMPLED),
    *(topics.DEAD_LETTERS, topics.CHECKPOINTS, topics.CHECKPOINT_BLOCKS),
}
_TIMEOUT_S = 600.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_fleet_arguments(parser)
    fleet = fleet_of(parser.parse_args())
    load = psutil.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="cinnamon-bench-") as directory, kafka(Path(directory)) as broker:
        every = wanted_topics(load_topics(), partitions=PARTITIONS, replication=1)
        broker.create(topic for topic in every if topic.name in _TOPICS)
        settings = {"CINNAMON_WORKER__CHECKPOINT_INTERVAL_S": "0.3"}
        with worker(broker, Path(directory) / "worker", stages="downsample", settings=settings) as running:
            before_s = running.cpu_s()
            produce(fleet, bootstrap_servers=broker.bootstrap_servers, topic=topics.METRICS_RAW)
            running.wait_for("input_records_total", fleet.message_count, _TIMEOUT_S)
            spent_s = running.cpu_s() - before_s
            encoded = running.total("downsampled_samples_total") or 0.0
            kept = running.total("kept_points_total") or 0.0
        with TopicReader(KafkaSettings(bootstrap_servers=broker.bootstrap_servers)) as reader:
            chunks = sum(1 for _ in reader.read_all(topics.METRICS_DOWNSAMPLED))
    print(f"{cpu_model()}, {psutil.cpu_count()} cores, load {load:.1f} before; {fleet.hosts * len(FIELDS):,} series")
    print(
        f"{fleet.message_count:,} messages, {spent_s / fleet.message_count * 1e6:.2f} us of CPU each:"
        f" {fleet.message_count / spent_s:,.0f} a second and core; {chunks:,} chunks, {kept / max(encoded, 1):.1%} kept"
    )


if __name__ == "__main__":
    main()

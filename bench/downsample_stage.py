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
from bench.end_to_end import cpu_model
from bench.messages import FIELDS
from bench.produce import add_fleet_arguments, fleet_of, produce
from tests.support.servers.kafka import THROUGHPUT, KafkaBroker
from tests.support.stages.brokers import HISTORY, pipeline_topics, read_topic
from tests.support.stages.streams import settings_of
from tests.support.stages.worker import Worker, running

_PARTITIONS = 4
_TIMEOUT_S = 600.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_fleet_arguments(parser)
    fleet = fleet_of(parser.parse_args())
    load = psutil.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="cinnamon-bench-") as directory:
        broker = KafkaBroker(Path(directory), jvm_flags=THROUGHPUT).start()
        try:
            with pipeline_topics(broker, names=HISTORY, partitions=_PARTITIONS):
                settings = settings_of(broker, kafka={"session_timeout_s": 60})
                worker = Worker(Path(directory) / "worker", settings, stages="downsample")
                with running(worker):
                    worker.ready()
                    process = psutil.Process(worker.pid)
                    before = process.cpu_times()
                    produce(fleet, bootstrap_servers=broker.bootstrap_servers, topic=topics.METRICS_RAW)
                    scrape = worker.wait_for(
                        lambda scrape: scrape.total("input_records_total") >= fleet.message_count,
                        "all messages read",
                        timeout_s=_TIMEOUT_S,
                    )
                    after = process.cpu_times()
                chunks = len(read_topic(broker, topics.METRICS_DOWNSAMPLED))
        finally:
            broker.stop()
    spent_s = after.user + after.system - before.user - before.system
    encoded, kept = scrape.total("downsampled_samples_total"), scrape.total("kept_points_total")
    print(f"{cpu_model()}, {psutil.cpu_count()} cores, load {load:.1f} before; {fleet.hosts * len(FIELDS):,} series")
    print(
        f"{fleet.message_count:,} messages, {spent_s / fleet.message_count * 1e6:.2f} us of CPU each:"
        f" {fleet.message_count / spent_s:,.0f} a second and core; {chunks:,} chunks, {kept / max(encoded, 1):.1%} kept"
    )


if __name__ == "__main__":
    main()

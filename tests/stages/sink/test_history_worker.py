"""From metrics.raw through chunks and a real InfluxDB back to a series: what the engine makes of the same samples."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pytest

import topics
from pipeline.core.downsampling.curve import decoded
from pipeline.core.downsampling.downsampler import PartitionDownsampler
from pipeline.core.downsampling.series_downsampler import DownsamplingRules, MetricKind
from pipeline.core.records.telegraf.parser import batch_of
from pipeline.stores.influxdb.connection import InfluxConnection
from pipeline.stores.influxdb.history_reading import InfluxHistoryReader
from pipeline.stores.reading import ReadFrom, SeriesReader
from tests.support.servers.influxdb import InfluxDB
from tests.support.servers.kafka import KafkaBroker
from tests.support.stages.brokers import USED, Broker, Raw, pipeline_topics, produce
from tests.support.stages.databases import influxdb_store
from tests.support.stages.sinks import decided
from tests.support.stages.streams import settings_of
from tests.support.stages.worker import Worker, running

TOPICS = (*USED, topics.METRICS_DOWNSAMPLED, topics.ANOMALIES, topics.ALERTS, topics.CHECKPOINT_BLOCKS)
START_MS = 1_780_002_000_000  # a whole hour
SAMPLES = 1000

pytestmark = pytest.mark.real


@pytest.fixture
def broker(kafka_broker: KafkaBroker) -> Iterator[Broker]:
    with pipeline_topics(kafka_broker, names=TOPICS) as broker:
        yield broker


def test_history_from_the_database_is_what_the_engine_makes_of_the_samples(
    broker: Broker, influxdb: InfluxDB, tmp_path: Path
) -> None:
    rng = np.random.default_rng(11)
    values = np.round(40 + 25 * np.sin(np.arange(SAMPLES) / 70) + rng.normal(0, 1, SAMPLES), 2)
    values[500] = 100.0
    times = START_MS + 10_000 * np.arange(SAMPLES)
    lines = [
        f"demo,host=a load={value} {time_ms}000000".encode()
        for value, time_ms in zip(values.tolist(), times.tolist(), strict=True)
    ]
    engine = PartitionDownsampler(0, DownsamplingRules(), lambda _measurement, _field: MetricKind.AUTO)
    expected = engine.add(batch_of(lines, 0), 0, SAMPLES, now_ms=int(times[-1])).values
    assert len(expected) == 2
    bucket = influxdb.create_bucket("history-worker")
    store = influxdb_store("all", influxdb, bucket, role="integrated")
    worker = Worker(tmp_path / "worker", settings_of(broker, stores=[store]), stages="downsample,sink")
    with running(worker):
        produce(broker, [Raw(line, b"a", partition=0) for line in lines])
        worker.wait_for(lambda scrape: decided(scrape) == len(expected), "the chunks")
    connection = InfluxConnection(url=influxdb.url, org=influxdb.org, bucket=bucket, token=influxdb.token)
    reader = SeriesReader([], InfluxHistoryReader(connection))
    span = {"start_ms": START_MS, "end_ms": int(times[-1]) + 1, "source": ReadFrom.INTEGRATED}
    (series,) = reader.read("demo", "load", **span)
    (average,) = reader.averages("demo", "load", **span)
    reader.close()
    kept = [point for record in expected for point in orjson.loads(record)["points"]]
    (run,) = series.history
    assert run.times_ms.tolist() == [time_ms for time_ms, _, _ in kept]
    assert run.values.tolist() == [value for _, value, _ in kept]
    assert run.interp.tobytes().decode() == "".join(interp for _, _, interp in kept)
    known = times <= run.until_ms
    back = decoded(series.history, times[known])
    worst = max(orjson.loads(record)["max_error"] for record in expected)
    assert np.abs(back - values[known]).max() == pytest.approx(worst, rel=1e-12)
    assert average.value == pytest.approx(values[known].mean(), rel=1e-12)

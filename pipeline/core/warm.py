"""Compile every kernel once, so that no worker has to: ``python -m pipeline.core.warm`` after an installation."""

from pathlib import Path

import numba
import numpy as np

from pipeline.core.anomalies.scorer import ScoreReporter, SeriesScorer
from pipeline.core.audit.samples import ALWAYS, PartitionSamples
from pipeline.core.downsampling.series_downsampler import SeriesDownsampler
from pipeline.core.kernel_stamp import IN_TREE, stamp_in
from pipeline.core.records.identity.raw_samples import RawSamples
from pipeline.core.records.telegraf.parser import ParseOptions, batch_of
from pipeline.core.triggers.evaluator import SAMPLES, PolicyEvaluator, TriggerSeries
from pipeline.core.windows.aggregator import PartitionAggregator
from pipeline.core.windows.rules import WindowRules
from schemas.trigger_policy import trigger_policy

_INFLUX = b'net,host=a bytes_sent=%di,load=0.5,up=true,name="x" %d'
_JSON = b'{"fields":{"bytes_sent":%d,"load":0.5},"name":"net","tags":{"host":"a"},"timestamp":%d}'
_START_S = 1_600_000_000


def warm() -> None:
    """Run a few records through an aggregator (with a restart and silent resources) and whatever else is compiled.

    Compiling takes about half a minute the first time; the results are cached beside the modules (or in
    ``NUMBA_CACHE_DIR``), and loading them afterwards takes less than a second.
    """
    values = [
        *(_INFLUX % (i, (_START_S + 20 * i) * 1_000_000_000) for i in range(12)),
        *(_JSON % (i, _START_S + 20 * i) for i in range(12, 24)),
    ]
    batch = batch_of(values, 0)
    now_ms = (_START_S + 3600) * 1000
    aggregator = PartitionAggregator(0, WindowRules(), lambda _, name: name == "bytes_sent")
    aggregator.add(batch, 0, 18, now_ms)
    checkpoint = aggregator.checkpoint()
    again = PartitionAggregator(0, WindowRules(), lambda _, name: name == "bytes_sent", checkpoint=checkpoint)
    again.add(batch, 0 if checkpoint is None else checkpoint.offset, len(values), now_ms)
    again.rest(now_ms + 3_600_000)
    again.finish()
    for _ in RawSamples(ParseOptions()).read(batch, 0, len(values), now_ms):
        pass
    times = np.arange(3)
    SeriesScorer().update(np.zeros(3, np.int64), times, np.ones(3))
    ScoreReporter().update(np.ones(3), times, np.ones(3))
    downsampled = SeriesDownsampler()
    downsampled.add(np.zeros(3, np.int64), times, np.ones(3), times)
    downsampled.flush(np.zeros(1, np.int64))
    samples = PartitionSamples(
        0, WindowRules(), ParseOptions(), start_ms=0, end_ms=now_ms, processed_until=0, now_ms=now_ms
    )
    samples.add(batch, np.full(len(values), ALWAYS, np.int64))
    triggers = PolicyEvaluator()
    triggers.put_policy(trigger_policy({"id": "warm", "levels": {"info": {"fire": 1}}}), at_ms=0)
    triggers.evaluate(np.full(3, triggers.series(TriggerSeries(SAMPLES, "net", "load", {}))), times, np.ones(3), times)
    triggers.expire(now_ms)


if __name__ == "__main__":
    warm()
    stamp_in(Path(numba.config.CACHE_DIR or IN_TREE)).touch()  # type: ignore[attr-defined]  # set at its import

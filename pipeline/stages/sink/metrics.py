"""What the stage ``sink`` alone counts."""

from typing import Final

from pipeline.runtime.observability.metrics import ATTEMPT_SECONDS, OF_REASON, Metrics

END_TO_END_SECONDS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 30, 60, 90, 120, 300, 900)


class SinkFamilies:
    """What the stage ``sink`` alone counts.

    Parameters
    ----------
    metrics
        Of the process.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.common = metrics
        counter, histogram = metrics.counter, metrics.histogram
        self.written_points = counter("written_points", "Points a store acknowledged.", ("stage",))
        self.unrouted_points = counter("unrouted_points", "Windows whose region no store takes.", ("stage",))
        self.superseded_points = counter(
            "superseded_points", "Windows left out since a greater revision was written.", ("stage",)
        )
        self.rejected_points = counter("rejected_points", "Points a store refused for good.", OF_REASON)
        self.write_retries = counter("write_retries", "Writes tried again.", OF_REASON)
        self.write_seconds = histogram("write_seconds", "Until a store answered a write.", ATTEMPT_SECONDS)
        self.end_to_end_seconds = histogram(
            "end_to_end_seconds",
            "From a window's end until its store had it: the newest of each batch written.",
            END_TO_END_SECONDS,
        )

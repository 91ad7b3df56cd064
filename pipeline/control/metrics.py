"""What the control service alone counts."""

from pipeline.runtime.observability.metrics import Metrics


class ControlFamilies:
    """What the control service alone counts.

    Parameters
    ----------
    metrics
        Of the process.
    """

    def __init__(self, metrics: Metrics) -> None:
        counter, gauge = metrics.counter, metrics.gauge
        self.outbox_records = gauge("outbox_records", "Control service: changes of policies that wait to be published.")
        self.published_policies = counter("published_policies", "Control service: changes of policies that Kafka has.")
        self.followed_records = counter(
            "followed_records",
            "Control service: records of alerts and actions taken over: kept, unusable.",
            ("topic", "outcome"),
        )

"""What the stage ``act`` alone counts."""

from pipeline.runtime.observability.metrics import ATTEMPT_SECONDS, Metrics


class ActFamilies:
    """What the stage ``act`` alone counts.

    Parameters
    ----------
    metrics
        Of the process.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.common = metrics
        counter, gauge, histogram = metrics.counter, metrics.gauge, metrics.histogram
        self.active_alerts = gauge("active_alerts", "Open alerts that people may be notified of.", ("stage",))
        self.pending_actions = gauge(
            "pending_actions", "Notifications and script runs decided and not finished.", ("stage",)
        )
        self.actions = counter(
            "actions",
            "Records of actions, by what they were sent with: smtp, apprise, webhook, script, none.",
            ("stage", "kind", "outcome", "reason"),
        )
        self.action_seconds = histogram("action_seconds", "Attempts to send or run.", ATTEMPT_SECONDS)

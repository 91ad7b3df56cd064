"""``metrics.agg`` to ``anomalies``."""

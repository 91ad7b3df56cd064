"""``metrics.raw``, ``metrics.agg`` and ``anomalies`` to ``alerts``."""

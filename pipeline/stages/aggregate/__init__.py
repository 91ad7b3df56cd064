"""``metrics.raw`` to windows on ``metrics.agg``."""

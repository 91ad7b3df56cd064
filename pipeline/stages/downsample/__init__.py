"""``metrics.raw`` to chunks of kept points on ``metrics.downsampled``."""

"""Metrics.raw to windows on metrics.agg."""

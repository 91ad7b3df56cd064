"""Metrics.raw, metrics.agg, anomalies to alerts."""

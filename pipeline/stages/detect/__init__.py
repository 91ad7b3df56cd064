"""Metrics.agg to anomalies."""

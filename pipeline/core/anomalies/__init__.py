"""Anomaly scores: how unusual a value is for its own series."""

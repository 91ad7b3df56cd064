"""Kafka's record batches to columns."""

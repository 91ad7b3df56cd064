"""Checkpoints and snapshots: what a restart needs, kept in Kafka."""

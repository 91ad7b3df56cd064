"""Kafka clients: produce, read, follow a topic as a table."""

"""A stage's state for a restart, in pieces."""

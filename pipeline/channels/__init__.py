"""Tells people and runs scripts: one message or one run at a time, and what came of it."""

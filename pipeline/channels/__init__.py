"""Notifies people and runs scripts: one message or one script run at a time, and what came of it."""

"""Serves: the HTTP API over policies, scenarios, channels, silences and alerts, and the database behind it."""

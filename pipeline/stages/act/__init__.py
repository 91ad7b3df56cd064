"""Alerts to channels, scripts and the topic actions."""

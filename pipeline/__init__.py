"""Cinnamon: the monitoring pipeline for multi-cloud fleets."""

__version__ = "0.1.0"

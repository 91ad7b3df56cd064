"""Samples in, changes of alerts out."""

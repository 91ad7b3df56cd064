"""Cinnamon dead-letters: list, show, replay."""

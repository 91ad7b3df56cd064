"""Cinnamon up: everything on this machine."""

"""``cinnamon up``: everything on this machine."""

"""``cinnamon dead-letters``: list, show, replay."""

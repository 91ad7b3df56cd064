"""``alerts`` to channels and scripts, and what came of it to ``actions``."""

"""``cinnamon query``: windows and series back from stores."""

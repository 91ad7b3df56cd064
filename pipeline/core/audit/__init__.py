"""What windows should hold, computed without the fold."""

"""A SQLite file."""

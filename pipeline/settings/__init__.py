"""One frozen model from file and environment, a section a file."""

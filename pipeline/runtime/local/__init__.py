"""Processes on this machine: broker and worker as children."""

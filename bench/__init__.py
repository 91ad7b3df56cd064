"""Measurements: how much CPU a message costs, beside plain programs that do the same job on the same broker."""

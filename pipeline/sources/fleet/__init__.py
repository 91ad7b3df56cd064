"""A simulated fleet of many machines."""

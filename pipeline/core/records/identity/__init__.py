"""Which resource and series a sample is of."""

"""The core decides: values and ``now_ms`` in, values out. No I/O, clock, environment, randomness or logging."""

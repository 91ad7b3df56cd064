"""InfluxDB 2."""

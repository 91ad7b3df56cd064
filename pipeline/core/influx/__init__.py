"""Records as lines of InfluxDB's line protocol."""

"""The stores keep: InfluxDB and the embedded store behind one interface."""

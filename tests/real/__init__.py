"""The real parts: an Apache Kafka broker, Telegraf and InfluxDB, started by the tests on free ports."""

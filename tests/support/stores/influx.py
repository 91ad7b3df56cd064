"""Stores on buckets of their own of a real InfluxDB."""

import uuid

from pipeline.stores.influxdb.windows import InfluxStore
from tests.support.servers.influxdb import InfluxDB


def influx_store(server: InfluxDB, **options: object) -> InfluxStore:
    """Return a store on a new bucket of a real InfluxDB."""
    bucket = server.create_bucket(f"stores-{uuid.uuid4().hex}")
    return InfluxStore(url=server.url, org=server.org, bucket=bucket, token=server.token, **options)

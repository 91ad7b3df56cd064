"""The stores keep: InfluxDB and the embedded store behind one interface."""

from pipeline.stores.base import RecordStore, Rejected, SeriesPoint, Store, StoredValue, StoreUnavailable, WriteResult

__all__ = ["RecordStore", "Rejected", "SeriesPoint", "Store", "StoreUnavailable", "StoredValue", "WriteResult"]

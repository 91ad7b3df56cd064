"""The stores keep: InfluxDB and the embedded store behind one interface."""

from pipeline.stores.base import Point, RecordStore, Rejected, Store, StoredValue, StoreUnavailable, WriteResult

__all__ = ["Point", "RecordStore", "Rejected", "Store", "StoreUnavailable", "StoredValue", "WriteResult"]

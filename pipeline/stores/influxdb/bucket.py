"""The bucket of an InfluxDB store: found, made, its retention lengthened."""

from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from influxdb_client.domain.bucket import Bucket
from influxdb_client.domain.bucket_retention_rules import BucketRetentionRules
from influxdb_client.rest import ApiException

from pipeline.stores.influxdb.connection import InfluxConnection

_MOST_BUCKETS = 100


class InfluxBucket:
    """A bucket that may not be there yet; a context manager that closes its connection.

    Parameters
    ----------
    place
        ``url``, ``org``, ``bucket``, ``token`` and more of `InfluxConnection`.

    Raises
    ------
    ValueError
        As `InfluxConnection`.
    """

    def __init__(self, place: dict[str, Any]) -> None:
        self._connection = InfluxConnection(**place)
        self.name = self._connection.bucket

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def retention_ms(self) -> int | None:
        """Return how long the bucket keeps its points, 0 for ever; none if there is no such bucket.

        Raises
        ------
        StoreUnavailable
            If InfluxDB does not answer, does not take the token or has no such organisation.
        """
        bucket = self._find()
        return None if bucket is None else sum(rule.every_seconds for rule in bucket.retention_rules) * 1000

    def create(self, retention_ms: int) -> None:
        """Make the bucket; `StoreUnavailable` if that is refused."""
        with self._connection.explained("making the bucket"):
            self._connection.client.buckets_api().create_bucket(
                bucket_name=self.name, org=self._connection.org, retention_rules=_rules(retention_ms)
            )

    def lengthen(self, retention_ms: int) -> None:
        """Let the bucket keep its points for longer; `StoreUnavailable` if that is refused."""
        bucket = self._find()
        if bucket is None:
            return
        bucket.retention_rules = _rules(retention_ms)
        with self._connection.explained("the new retention"):
            self._connection.client.buckets_api().update_bucket(bucket)

    def _find(self) -> Bucket | None:
        with self._connection.explained("the list of buckets"):
            try:
                found = self._connection.client.buckets_api().find_buckets(  # type: ignore[no-untyped-call]
                    name=self.name, org=self._connection.org, limit=_MOST_BUCKETS
                )
            except ApiException as error:
                if error.status == HTTPStatus.NOT_FOUND and "organization" not in str(error.body):
                    return None
                raise
            return next((bucket for bucket in found.buckets if bucket.name == self.name), None)


def _rules(retention_ms: int) -> list[BucketRetentionRules]:
    return [BucketRetentionRules(type="expire", every_seconds=retention_ms // 1000)]  # type: ignore[no-untyped-call]

"""librdkafka's clients, each made here: what all of them have in common, and which errors are worth another try."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient

from pipeline.runtime.kafka.settings import KafkaSettings

__all__ = [
    "LARGEST_RECORD_BYTES",
    "is_end",
    "is_transient",
    "new_admin",
    "new_consumer",
    "new_producer",
]

LARGEST_RECORD_BYTES: Final = 16 * 1024 * 1024
"""An embedded broker gives no record that is larger than what is asked for."""
_TRANSIENT: Final = frozenset(
    {
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
"""Codes that say that a broker is away, has just started, or another one leads: the same call may work later."""

OnError = Callable[[KafkaError], None]


def is_transient(error: KafkaError) -> bool:
    """Return whether trying again makes sense."""
    return error.retriable() or error.code() in _TRANSIENT


def is_end(error: KafkaError | None) -> bool:
    """Return whether a consumer says that it has read a partition to its end."""
    return error is not None and error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001


def new_consumer(
    kafka: KafkaSettings,
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    on_error: OnError | None = None,
    logger: logging.Logger | None = None,
) -> Consumer:
    """Return a consumer for partitions that are assigned to it: its group is asked for and never joined.

    It says where a partition ends (`is_end`), and begins with the earliest record there is.

    Parameters
    ----------
    kafka
        How to reach Kafka.
    name
        What it is for: the group's name behind the prefix.
    options
        What this one has beside that or otherwise, by librdkafka's names.
    on_error
        Called with what the client meets; it then prints nothing on standard error.
    logger
        Where its log lines go instead.

    Raises
    ------
    SettingsError
        When the password's file cannot be read.
    """
    return Consumer(
        {
            **kafka.librdkafka(),
            "group.id": kafka.group(name),
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.message.max.bytes": LARGEST_RECORD_BYTES,
            **_diagnostics(on_error, logger),
            **(options or {}),
        }
    )


def new_producer(
    kafka: KafkaSettings,
    options: Mapping[str, Any],
    *,
    on_delivery: Callable[[KafkaError | None, Message], None],
    on_error: OnError,
    logger: logging.Logger | None = None,
) -> Producer:
    """Return a producer that writes each record once, where Telegraf's own output would put it (FNV-1a).

    Parameters
    ----------
    kafka
        How to reach Kafka, and how records are compressed.
    options
        Its queue and patience, by librdkafka's names.
    on_delivery
        Called with each record that is reported, and why it was refused.
    on_error
        Called with what the client meets.
    logger
        Where its log lines go; without one it has none.

    Raises
    ------
    SettingsError
        When the password's file cannot be read.
    """
    return Producer(
        {
            **kafka.librdkafka(),
            "compression.type": kafka.compression,
            "partitioner": "fnv1a",
            "enable.idempotence": True,
            "on_delivery": on_delivery,
            **_diagnostics(on_error, logger),
            **options,
        }
    )


def new_admin(kafka: KafkaSettings) -> AdminClient:
    """Return a client for questions about topics.

    Raises
    ------
    SettingsError
        When the password's file cannot be read.
    """
    return AdminClient({**kafka.librdkafka(), "log_level": 0})


def _diagnostics(on_error: OnError | None, logger: logging.Logger | None) -> dict[str, Any]:
    """Return what becomes of a client's own log: without a logger it would go to standard error."""
    found: dict[str, Any] = {"log_level": 0} if logger is None else {"logger": logger}
    if on_error is not None:
        found["error_cb"] = on_error
    return found

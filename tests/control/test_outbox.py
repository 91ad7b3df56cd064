"""The publisher, step by step, against the embedded broker."""

import json
from pathlib import Path

import pytest
from sqlalchemy import delete

import topics
from pipeline.control.database import Database
from pipeline.control.documents import Documents, DraftDocument
from pipeline.control.leadership import Leadership
from pipeline.control.metrics import ControlFamilies
from pipeline.control.outbox import Publisher
from pipeline.control.settings import ControlSettings
from pipeline.control.tables import OUTBOX
from pipeline.runtime.kafka.producer import FlushTimeoutError, RecordProducer
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.observability.metrics import Metrics
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.stages.brokers import read_topic
from tests.support.waiting import wait_until


def draft(title: str) -> DraftDocument:
    return DraftDocument("trigger", "cpu", None, {"kind": "trigger", "id": "cpu", "title": title}, ())


@pytest.mark.server
def test_what_arrives_late_does_not_stay_the_newest(tmp_path: Path) -> None:
    """An instance that stood still sends an old change after another one has sent a newer one."""
    broker = EmbeddedBroker(tmp_path / "broker")
    settings = ControlSettings(database_file=tmp_path / "control.db")
    database = Database(settings)
    database.migrate()
    documents = Documents(database, lambda: 1, lambda: None)
    producer = RecordProducer(KafkaSettings(bootstrap_servers=broker.bootstrap_servers))
    leadership = Leadership(database, settings)
    publisher = Publisher(database, producer, leadership, ControlFamilies(Metrics()))

    documents.create(draft("old"), "test")
    with pytest.raises(FlushTimeoutError):  # Kafka is away: it is on its way
        publisher.step()
    documents.replace(draft("new"), "test", tenants=None, revision=None)
    with database.writing() as connection:  # another instance has sent both
        connection.execute(delete(OUTBOX))

    broker.start()
    try:

        def is_sent() -> bool:
            try:
                return publisher.step() > 0
            except FlushTimeoutError:
                return False

        wait_until(is_sent, timeout_s=30, what="the outbox to be empty")
        titles = [json.loads(record.value)["title"] for record in read_topic(broker, topics.POLICIES)]
        assert titles == ["old", "new"]
    finally:
        publisher.close()
        leadership.release()
        broker.stop()
        database.close()

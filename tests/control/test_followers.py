"""What stands on alerts is in the database once, and the next follower goes on behind it."""

from pathlib import Path

import pytest
from sqlalchemy import select

import topics
from pipeline.control.database import Database
from pipeline.control.followers import Followers
from pipeline.control.leadership import Leadership
from pipeline.control.metrics import ControlFamilies
from pipeline.control.settings import ControlSettings
from pipeline.control.tables import PLACES
from pipeline.factory import Settings
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.runtime.observability.metrics import Metrics
from tests.support.channels.alerts import alert_event
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.stages.brokers import Raw, pipeline_topics, produce
from tests.support.stages.streams import settings_of
from tests.support.waiting import wait_until


@pytest.mark.server
def test_each_record_is_kept_once_and_the_next_follower_goes_on(tmp_path: Path) -> None:
    server = EmbeddedBroker(tmp_path / "broker").start()
    control = ControlSettings(database_file=tmp_path / "control.db")
    database = Database(control)
    database.migrate()
    metrics = Metrics()
    families = ControlFamilies(metrics)
    kept = families.followed_records.labels(topics.ALERTS, "kept")._value
    unusable = families.followed_records.labels(topics.ALERTS, "unusable")._value
    event = alert_event()
    with pipeline_topics(server, partitions=2, names=[topics.ALERTS, topics.ACTIONS]) as broker:
        kafka = Settings.model_validate(settings_of(broker))[KafkaSettings]
        for place, (records, count) in enumerate(
            (([event.to_json(), b"nonsense"], 1), ([event.model_copy(update={"sequence": 2}).to_json()], 2))
        ):
            produce(broker, [Raw(record, partition=place) for record in records], topics.ALERTS)
            leadership = Leadership(database, control)
            followers = Followers(kafka, database, leadership, families, history_ms=1 << 50, now_ms=lambda: 0)
            wait_until(
                lambda: followers.step() == 0.0 and (kept.get(), unusable.get()) == (count, 1),  # noqa: B023
                timeout_s=30,
                what="the records",
            )
            followers.close()
            leadership.release()
        with database.reading() as connection:
            places = {(row.topic, row.partition): row.next_offset for row in connection.execute(select(PLACES))}
    server.stop()
    assert places == {(topics.ALERTS, 0): 2, (topics.ALERTS, 1): 1}

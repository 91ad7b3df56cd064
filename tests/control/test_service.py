"""The service as a process: what is changed reaches Kafka in order, once at least, and what Kafka has comes back."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

import topics
from pipeline.control.auth.api_keys import ApiKeys
from pipeline.control.auth.principal import Role
from pipeline.control.database import Database
from pipeline.control.settings import ControlSettings
from tests.support.control.api import policy
from tests.support.control.history import FIRING, OK, action, event
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.servers.kafka import KafkaBroker
from tests.support.servers.postgresql import PostgreSQL
from tests.support.servers.process import ServerProcess, free_ports
from tests.support.stages.brokers import Broker, Raw, pipeline_topics, produce, read_topic
from tests.support.waiting import wait_until

pytestmark = pytest.mark.server

NEEDED = (topics.POLICIES, topics.ALERTS, topics.ACTIONS)
ANY = {"If-Match": "*"}


class Service:
    """`cinnamon control` over a database, as a process."""

    def __init__(self, folder: Path, bootstrap: str, url: str | None = None, name: str = "service") -> None:
        (self.port,) = free_ports(1)
        key_file = folder / "control.key"
        database = folder / "control.db"
        environment = {
            "CINNAMON_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
            "CINNAMON_CONTROL__DATABASE_FILE": str(database),
            "CINNAMON_CONTROL__SECRETS_KEY_FILE": str(key_file) if url is not None else "",
            "CINNAMON_CONTROL__DATABASE_SECRET": url or "",
        }
        command = [sys.executable, "-m", "pipeline", "control", "--web-port", str(self.port)]
        self.process = ServerProcess(command, folder / f"{name}.log", environment)
        try:
            wait_until(self._is_ready, timeout_s=60, what="the control service", alive=self.process.is_running)
        except TimeoutError as error:
            raise RuntimeError(self.process.log_tail()) from error
        settings = ControlSettings(database_file=database, database_secret=url, secrets_key_file=key_file)
        opened = Database(settings)
        key = ApiKeys(opened, lambda: 0).create(name="test", role=Role.ADMIN, tenants=None)
        opened.close()
        headers = {"Authorization": f"Bearer {key}"}
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=20)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> int:
        """Ask it to end, and return its exit status."""
        self.client.close()
        return self.process.stop(timeout_s=40)

    def kill(self) -> None:
        """End it at once."""
        self.client.close()
        self.process.kill()


Start = Callable[..., Service]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start services over one folder; they are ended with the test."""
    started: list[Service] = []

    def starting(bootstrap: str, url: str | None = None) -> Service:
        if url is not None and not (tmp_path / "control.key").exists():
            from pipeline.runtime.secrets.sealing import make_key_file  # noqa: PLC0415

            make_key_file(tmp_path / "control.key", where="key")
        started.append(Service(tmp_path, bootstrap, url, f"service-{len(started)}"))
        return started[-1]

    yield starting
    for service in started:
        service.kill()


def published(broker: Broker) -> list[tuple[str, object]]:
    """Return keys and values of `policies`, None for a deletion."""
    records = read_topic(broker, topics.POLICIES)
    return [((record.key or b"").decode(), json.loads(record.value) if record.value else None) for record in records]


def test_changes_are_published_in_order_and_alerts_are_followed(embedded_broker: EmbeddedBroker, start: Start) -> None:
    with pipeline_topics(embedded_broker, partitions=2, names=NEEDED):
        service = start(embedded_broker.bootstrap_servers)
        client = service.client
        names = [f"p-{number}" for number in range(20)]

        for name in names:
            client.post("/v1/policies", json=policy(name)).raise_for_status()
        client.put("/v1/policies/p-3", json=policy("p-3", title="new"), headers=ANY).raise_for_status()
        client.delete("/v1/policies/p-0", headers=ANY).raise_for_status()

        wait_until(lambda: len(published(embedded_broker)) == 22, timeout_s=10, what="the changes on the topic")
        assert [key for key, _ in published(embedded_broker)] == [f"trigger/{name}" for name in [*names, "p-3", "p-0"]]
        assert published(embedded_broker)[-1][1] is None

        fired = event("one", 1, FIRING)
        letters = [Raw(value=b"no record", key=b"x"), Raw(value=fired.to_json(), key=b"a/i/vm-1")]
        produce(embedded_broker, letters, topic=topics.ALERTS)
        produce(embedded_broker, [Raw(value=action("run", 1).to_json())], topic=topics.ACTIONS)
        wait_until(lambda: client.get("/v1/alerts").json()["items"], timeout_s=20, what="the alert")
        wait_until(lambda: client.get("/v1/actions").json()["items"], timeout_s=20, what="the action")
        assert 'cinnamon_followed_records_total{outcome="unusable",topic="alerts"} 1.0' in client.get("/metrics").text
        assert client.get("/healthz").status_code == 200
        assert service.stop() == 0

        again = start(embedded_broker.bootstrap_servers)
        produce(embedded_broker, [Raw(value=event("one", 2, OK).to_json(), key=b"a/i/vm-1")], topic=topics.ALERTS)
        wait_until(lambda: not again.client.get("/v1/alerts").json()["items"], timeout_s=20, what="the alert's end")
        assert len(again.client.get("/v1/alerts/one/events").json()["items"]) == 2
        assert 'outcome="unusable"' not in again.client.get("/metrics").text
        assert again.stop() == 0
        assert len(published(embedded_broker)) == 22


def test_what_was_not_published_before_a_crash_is_after_it(tmp_path: Path, start: Start) -> None:
    """Kafka is away when the changes are made, and the service is killed before it is back."""
    broker = EmbeddedBroker(tmp_path / "broker")
    service = start(broker.bootstrap_servers)
    for title in ("first", "second", "third"):
        service.client.delete("/v1/policies/cpu", headers=ANY)
        assert service.client.post("/v1/policies", json=policy("cpu", title=title)).status_code == 201
    service.kill()

    broker.start()
    try:
        with pipeline_topics(broker, partitions=1, names=NEEDED):
            again = start(broker.bootstrap_servers)
            wait_until(lambda: len(published(broker)) >= 5, timeout_s=20, what="the changes on the topic")
            titles = [value["title"] if isinstance(value, dict) else None for _, value in published(broker)]
            assert titles == ["first", None, "second", None, "third"]
        broker.stop()
        assert again.client.post("/v1/policies", json=policy("late")).status_code == 201
        assert again.stop() == 0
        assert "Traceback" not in again.process.log_tail()
    finally:
        broker.stop()


@pytest.mark.real
def test_of_two_instances_the_other_publishes_when_one_is_killed(
    kafka_broker: KafkaBroker, postgresql: PostgreSQL, start: Start
) -> None:
    url = postgresql.create_database()
    with pipeline_topics(kafka_broker, partitions=2, names=NEEDED):
        first, second = start(kafka_broker.bootstrap_servers, url), start(kafka_broker.bootstrap_servers, url)
        second.client.post("/v1/policies", json=policy("by-second")).raise_for_status()
        wait_until(lambda: len(published(kafka_broker)) == 1, timeout_s=20, what="the change through the first")

        first.kill()
        second.client.post("/v1/policies", json=policy("after")).raise_for_status()

        wait_until(lambda: len(published(kafka_broker)) == 2, timeout_s=30, what="the change through the second")
        assert [key for key, _ in published(kafka_broker)] == ["trigger/by-second", "trigger/after"]
        second.process._process.send_signal(signal.SIGINT)
        wait_until(lambda: not second.process.is_running(), timeout_s=30, what="the end")
        assert second.process.stop() == 0

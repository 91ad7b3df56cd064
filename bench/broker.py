"""A real Apache Kafka broker for the time of a measurement: one node on free ports of 127.0.0.1."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from bench.waiting import wait_until
from pipeline.runtime.local.child_process import ChildProcess
from pipeline.runtime.local.embedded_broker import free_port
from topics.admin import TopicAdmin
from topics.plan import TopicState, plan

LIBRARIES = Path(__file__).resolve().parents[1] / ".tools" / "kafka" / "libs"
PARTITIONS = 4
TIMEOUT_S = 60.0
_JVM = ("-Xms1g", "-Xmx1g", "-XX:+UseG1GC")
_CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qg"  # any 16 bytes in base64url
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=BROKER://127.0.0.1:{port}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=4
"""


@dataclass(frozen=True)
class Broker:
    """A running broker."""

    bootstrap_servers: str

    def create_topics(self, settings: Mapping[str, Mapping[str, str]]) -> None:
        """Create topics with these settings, and return when they are there; records stay, however old they are."""
        self.create(
            [TopicState(name=name, partitions=PARTITIONS, replication=1, config=c) for name, c in settings.items()]
        )

    def create(self, wanted: Iterable[TopicState]) -> None:
        """Create topics, and return when they are there; records stay, however old they are."""
        kept = [
            TopicState(
                name=each.name,
                partitions=each.partitions,
                replication=each.replication,
                config={**each.config, "retention.ms": "-1"},
            )
            for each in wanted
        ]
        admin = TopicAdmin({"bootstrap.servers": self.bootstrap_servers}, timeout_s=TIMEOUT_S)
        names = [each.name for each in kept]
        admin.apply(plan(admin.read(names), kept))
        wait_until(lambda: plan(admin.read(names), kept).is_empty, timeout_s=TIMEOUT_S, what="the topics")

    def delete(self, names: Iterable[str]) -> None:
        """Delete topics, and return when they are gone."""
        client = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        gone = list(names)
        for deleted in client.delete_topics(gone).values():
            deleted.result(TIMEOUT_S)
        wait_until(
            lambda: not set(gone) & set(client.list_topics(timeout=TIMEOUT_S).topics),
            timeout_s=TIMEOUT_S,
            what="the end of the topics",
        )


@contextmanager
def kafka(directory: Path) -> Iterator[Broker]:
    """Run a broker, its log and its data in a folder.

    Raises
    ------
    RuntimeError
        When Kafka is not there (``make real-parts``) or does not start.
    """
    java = shutil.which("java")
    if java is None or not LIBRARIES.exists():
        raise RuntimeError(f"{LIBRARIES} and java are needed: run `make real-parts`")
    port, controller_port = free_port(), free_port()
    directory.mkdir(parents=True, exist_ok=True)
    properties = directory / "server.properties"
    properties.write_text(_PROPERTIES.format(port=port, controller_port=controller_port, data=directory / "data"))
    command = [java, *_JVM, "-cp", f"{LIBRARIES}/*"]
    tool = [*command, "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(properties)]
    subprocess.run(tool, check=True, capture_output=True, timeout=TIMEOUT_S)
    server = [*command, "kafka.Kafka", str(properties)]
    process = ChildProcess("Kafka", server, log=directory / "broker.log", environment=os.environ)
    broker = Broker(f"127.0.0.1:{port}")
    try:
        try:
            wait_until(lambda: _answers(broker), timeout_s=TIMEOUT_S, what="Kafka", alive=process.is_running)
        except TimeoutError as error:
            raise RuntimeError(f"{error}:\n{process.log_tail()}") from error
        yield broker
    finally:
        process.stop(timeout_s=20.0)


def _answers(broker: Broker) -> bool:
    try:
        client = AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
        return bool(client.list_topics(timeout=1).brokers)
    except KafkaException:
        return False

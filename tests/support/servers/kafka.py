"""A real Apache Kafka broker: one node on free ports of 127.0.0.1, its log in a given folder."""

from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.support.servers.process import PARTS, TOOLS, ServerProcess, free_ports, require_part
from tests.support.waiting import wait_until

# Any 16 bytes in base64url will do as a cluster's id; it must not change for the same folder.
CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qg"
START_TIMEOUT_S = 60.0
QUICK_START = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
# An archive of its loaded classes halves the time of a start; the first broker writes it when it ends.
CLASS_ARCHIVE = TOOLS / "kafka" / "classes.jsa"
THROUGHPUT = ("-Xms1g", "-Xmx1g", "-XX:+UseG1GC")


class KafkaBroker:
    """A broker that a test starts, stops, kills and starts again, with its data kept.

    Parameters
    ----------
    directory
        Where its settings, its log and its data go; made when absent.
    jvm_flags
        ``QUICK_START`` for tests, ``THROUGHPUT`` for measurements.
    """

    def __init__(self, directory: Path, *, jvm_flags: tuple[str, ...] = QUICK_START) -> None:
        libraries = require_part(TOOLS / "kafka" / "libs")
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port, controller_port = free_ports(2)
        self._process: ServerProcess | None = None
        self._properties = directory / "server.properties"
        self._new_class_archive = CLASS_ARCHIVE.with_name(f"classes-{self.port}.jsa")
        self._java = [
            "java",
            *jvm_flags,
            "-cp",
            f"{libraries}/*",
            f"-Dlog4j2.configurationFile={PARTS / 'kafka' / 'log4j2.properties'}",
        ]
        template = (PARTS / "kafka" / "server.properties.template").read_text()
        self._properties.write_text(
            template.replace("@PORT@", str(self.port))
            .replace("@CONTROLLER_PORT@", str(controller_port))
            .replace("@DATA_DIRECTORY@", str(directory / "data"))
        )

    @property
    def bootstrap_servers(self) -> str:
        """The broker's address as clients take it, ``host:port``."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The running broker's process id."""
        return self._running().pid

    def start(self) -> "KafkaBroker":
        """Start the broker on the data that it has, and return it when it answers an admin call."""
        if self._process is not None:
            raise RuntimeError("this broker runs already")
        if not (self.directory / "data" / "meta.properties").exists():
            self._format()
        archive = f"-XX:ArchiveClassesAtExit={self._new_class_archive}"
        if CLASS_ARCHIVE.exists():
            archive = f"-XX:SharedArchiveFile={CLASS_ARCHIVE}"
        command = [*self._java, archive, "kafka.Kafka", str(self._properties)]
        self._process = ServerProcess(command, self.directory / "broker.log")
        try:
            wait_until(self._answers, timeout_s=START_TIMEOUT_S, what="Kafka", alive=self._process.is_running)
        except TimeoutError as error:
            tail = self._process.log_tail()
            self.kill()
            raise RuntimeError(f"Kafka did not start:\n{tail}") from error
        return self

    def stop(self) -> None:
        """Stop the broker cleanly; without one running, do nothing."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        if self._new_class_archive.exists():
            self._new_class_archive.replace(CLASS_ARCHIVE)

    def kill(self) -> None:
        """End the broker at once, as a crash does (SIGKILL)."""
        self._running().kill()
        self._process = None

    def restart(self) -> None:
        """Stop the broker cleanly and start it again."""
        self.stop()
        self.start()

    def admin(self) -> AdminClient:
        """Return a new admin client of this broker."""
        return AdminClient({"bootstrap.servers": self.bootstrap_servers})

    def create_topic(self, name: str, *, partitions: int = 4, config: dict[str, str] | None = None) -> str:
        """Create a topic, wait until each of its partitions has a leader, and return its name.

        Retention by time is off unless ``config`` has it: a broker deletes records that carry an old event time.
        """
        admin = self.admin()
        topic = NewTopic(
            name, num_partitions=partitions, replication_factor=1, config={"retention.ms": "-1", **(config or {})}
        )
        admin.create_topics([topic])[name].result(START_TIMEOUT_S)

        def has_leaders() -> bool:
            found = admin.list_topics(name, timeout=5).topics[name].partitions
            return len(found) == partitions and all(each.leader >= 0 for each in found.values())

        wait_until(has_leaders, timeout_s=START_TIMEOUT_S, what=f"leaders of topic {name}")
        return name

    def _running(self) -> ServerProcess:
        if self._process is None:
            raise RuntimeError("this broker does not run")
        return self._process

    def _format(self) -> None:
        command = [*self._java, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._properties)]
        process = ServerProcess(command, self.directory / "format.log")
        wait_until(lambda: not process.is_running(), timeout_s=START_TIMEOUT_S, what="Kafka's format")
        if process.stop() != 0:
            raise RuntimeError(f"Kafka's data folder was not formatted:\n{process.log_tail()}")

    def _answers(self) -> bool:
        quiet: dict[str, str | int | float | bool] = {
            "bootstrap.servers": self.bootstrap_servers,
            "log_level": 0,
            "socket.timeout.ms": 1000,
        }
        try:
            return bool(AdminClient(quiet).list_topics(timeout=1).brokers)
        except KafkaException:
            return False

"""The settings of Kafka: how it is reached, and how consumers of it behave."""

import ipaddress
import ssl
from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from pipeline.settings.base import PositiveDuration, Section, SettingsError, read_secret_file, to_ms
from pipeline.settings.files import ReadFile, SecretFile


def _host_and_port_list(servers: str) -> str:
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
            raise ValueError("must be HOST:PORT, several separated by commas, each port 1 to 65535")
        if host.startswith("["):
            ipaddress.IPv6Address(host.strip("[]"))
    return servers


class KafkaSettings(Section):
    """How to reach Kafka, and how consumers of it behave."""

    key = "kafka"
    title = "Kafka"

    bootstrap_servers: Annotated[str, AfterValidator(_host_and_port_list)] = Field(
        "127.0.0.1:9092", title="Bootstrap servers", description="HOST:PORT of brokers, several separated by commas."
    )
    client_id: str = Field(
        "cinnamon", min_length=1, max_length=200, title="Client id", description="The name brokers log for us."
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", title="Security protocol", description="Whether the connection is encrypted and authenticated."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, title="SASL mechanism", description="How to authenticate; needed with SASL_PLAINTEXT and SASL_SSL."
    )
    sasl_username: str | None = Field(None, title="SASL user", description="The user to authenticate as.")
    sasl_password: SecretStr | None = Field(None, title="SASL password", description="The user's password.")
    sasl_password_file: SecretFile | None = Field(
        None, title="SASL password file", description="A file that holds the password, instead of sasl_password."
    )
    ssl_ca_file: ReadFile | None = Field(
        None, title="CA file", description="PEM file of the authorities to trust; none: the system's."
    )
    ssl_certificate_file: ReadFile | None = Field(
        None, title="Client certificate file", description="PEM file of the client's certificate, for mutual TLS."
    )
    ssl_key_file: ReadFile | None = Field(None, title="Client key file", description="PEM file of the client's key.")
    ssl_key_password: SecretStr | None = Field(
        None, title="Client key password", description="What decrypts ssl_key_file."
    )
    session_timeout_s: PositiveDuration = Field(
        45.0, le=1800, title="Session time-out", description="Seconds until a silent consumer loses its partitions."
    )
    heartbeat_interval_s: PositiveDuration | None = Field(
        None, title="Heartbeat interval", description="Seconds between heartbeats; none: session/10, at most 3 s."
    )
    group_prefix: str = Field(
        "cinnamon",
        pattern=r"^[A-Za-z0-9._-]{1,100}$",
        title="Group prefix",
        description="Consumer groups are named PREFIX-STAGE.",
    )
    fetch_max_bytes: int = Field(
        1024 * 1024,
        ge=1024,
        le=1024**3,
        title="Fetch size",
        description="Bytes fetched at once from one partition.",
    )
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        "lz4", title="Compression", description="How produced batches are compressed."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.sasl_password is not None and self.sasl_password_file is not None:
            raise ValueError("sasl_password and sasl_password_file exclude each other")
        if self.security_protocol.startswith("SASL"):
            password_given = self.sasl_password is not None or self.sasl_password_file is not None
            if self.sasl_mechanism is None or self.sasl_username is None or not password_given:
                raise ValueError(
                    f"security_protocol {self.security_protocol} needs sasl_mechanism, sasl_username "
                    "and sasl_password or sasl_password_file"
                )
        if (self.ssl_certificate_file is None) != (self.ssl_key_file is None):
            raise ValueError("ssl_certificate_file and ssl_key_file go together")
        if self.heartbeat_interval_ms * 3 > self.session_timeout_ms:
            raise ValueError("heartbeat_interval_s must be at most a third of session_timeout_s")
        return self

    @property
    def session_timeout_ms(self) -> int:
        """The session time-out in milliseconds."""
        return to_ms(self.session_timeout_s)

    @property
    def heartbeat_interval_ms(self) -> int:
        """The heartbeat interval in milliseconds: a tenth of the session and at most 3 s, unless it is set."""
        if self.heartbeat_interval_s is not None:
            return to_ms(self.heartbeat_interval_s)
        return max(1, min(self.session_timeout_ms // 10, 3000))

    def group(self, stage: str) -> str:
        """Return the consumer group of a stage, or of one of its inputs."""
        return f"{self.group_prefix}-{stage}"

    def read_sasl_password(self) -> str | None:
        """Return the password, from its file where one is named; none without SASL.

        Raises
        ------
        SettingsError
            If the file cannot be read.
        """
        if self.sasl_password_file is not None:
            return read_secret_file(self.sasl_password_file, where="kafka.sasl_password_file")
        return None if self.sasl_password is None else self.sasl_password.get_secret_value()

    def librdkafka(self) -> dict[str, str]:
        """Return the connection as configuration of a confluent-kafka client. It holds secrets: never log it.

        Raises
        ------
        SettingsError
            If the password's file cannot be read.
        """
        configuration = {
            "bootstrap.servers": self.bootstrap_servers,
            "client.id": self.client_id,
            "security.protocol": self.security_protocol,
        }
        if self.security_protocol.startswith("SASL"):
            configuration["sasl.mechanism"] = self.sasl_mechanism or ""
            configuration["sasl.username"] = self.sasl_username or ""
            configuration["sasl.password"] = self.read_sasl_password() or ""
        if self.security_protocol.endswith("SSL"):
            files = {
                "ssl.ca.location": self.ssl_ca_file,
                "ssl.certificate.location": self.ssl_certificate_file,
                "ssl.key.location": self.ssl_key_file,
            }
            configuration.update({key: str(path) for key, path in files.items() if path is not None})
            if self.ssl_key_password is not None:
                configuration["ssl.key.password"] = self.ssl_key_password.get_secret_value()
        return configuration

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return the TLS context for aiokafka and Faust; none where the protocol is not encrypted.

        Raises
        ------
        SettingsError
            If a certificate or key cannot be read, or its password is wrong.
        """
        if not self.security_protocol.endswith("SSL"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ssl_ca_file)
            if self.ssl_certificate_file is not None:
                password = "" if self.ssl_key_password is None else self.ssl_key_password.get_secret_value()
                context.load_cert_chain(self.ssl_certificate_file, self.ssl_key_file, password)
        except OSError as error:
            raise SettingsError([f"kafka.ssl_*: cannot use the certificates: {error.strerror or error}"]) from error
        return context

    def content_checks(self) -> tuple[Callable[[], object], ...]:
        """Return what reads the password and loads the certificates (see `Section.content_checks`)."""
        return (self.read_sasl_password, self.ssl_context)

"""The sections of the settings: one frozen model each, with a title, a description and a range on every field."""

import ipaddress
import re
import ssl
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

STAGES = ("aggregate", "sink")
"""The stages that a worker can run, in the order of the data."""

SHORTEST_CYCLE_MS = 100
LONGEST_CYCLE_MS = 600_000
LONGEST_SECRET_FILE_BYTES = 64 * 1024


class SettingsError(ValueError):
    """The settings cannot be used.

    Parameters
    ----------
    mistakes
        One readable line for each mistake: where it is, what was found, what is allowed. Never a secret's value.
    """

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def _whole_milliseconds(seconds: float) -> float:
    if abs(seconds * 1000 - round(seconds * 1000)) > 1e-6:
        raise ValueError("must be a whole number of milliseconds")
    return seconds


def _host_and_port_list(servers: str) -> str:
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
            raise ValueError("must be HOST:PORT, several separated by commas, each port 1 to 65535")
        if host.startswith("["):
            ipaddress.IPv6Address(host.strip("[]"))
    return servers


def _http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise ValueError("must not carry a user or password: use token or token_file")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must start with http:// or https:// and name a host")
    return url.rstrip("/")


def _known_stages(stages: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [stage for stage in stages if stage not in STAGES]
    if unknown or not stages or len(set(stages)) != len(stages):
        raise ValueError(f"must be one or more of {', '.join(STAGES)}, each once")
    return stages


Duration = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(_whole_milliseconds)]
PositiveDuration = Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(_whole_milliseconds)]
TimestampUnit = Literal["auto", "ns", "us", "ms", "s"]


def to_ms(seconds: float) -> int:
    """Return a duration in whole milliseconds."""
    return round(seconds * 1000)


def read_secret_file(path: Path, *, where: str) -> str:
    """Return the text of a secret's file without the white space around it.

    Raises
    ------
    SettingsError
        If the file cannot be read, is empty, is no text or is larger than 64 KiB.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_SECRET_FILE_BYTES + 1)
        secret = content.decode().strip()
    except OSError as error:
        raise SettingsError([f"{where}: cannot read {path}: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise SettingsError([f"{where}: {path} is not UTF-8 text"]) from error
    if not secret or len(content) > LONGEST_SECRET_FILE_BYTES:
        raise SettingsError([f"{where}: {path} must hold 1 to {LONGEST_SECRET_FILE_BYTES} bytes of text"])
    return secret


class Section(BaseModel):
    """A part of the settings: frozen, unknown keys refused, defaults checked, values kept out of error messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)


class KafkaSettings(Section):
    """How to reach Kafka, and how consumers of it behave."""

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
    sasl_password_file: Path | None = Field(
        None, title="SASL password file", description="A file that holds the password, instead of sasl_password."
    )
    ssl_ca_file: Path | None = Field(
        None, title="CA file", description="PEM file of the authorities to trust; none: the system's."
    )
    ssl_certificate_file: Path | None = Field(
        None, title="Client certificate file", description="PEM file of the client's certificate, for mutual TLS."
    )
    ssl_key_file: Path | None = Field(None, title="Client key file", description="PEM file of the client's key.")
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
        4 * 1024 * 1024,
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


class ParsingSettings(Section):
    """How the records of metrics.raw are read."""

    format: Literal["auto", "influx", "json"] = Field(
        "auto", title="Format", description="Line protocol, Telegraf JSON, or told apart by the first byte."
    )
    influx_timestamp_unit: TimestampUnit = Field(
        "auto", title="Line protocol time unit", description="Unit of timestamps; auto decides by magnitude."
    )
    json_timestamp_unit: TimestampUnit = Field(
        "auto", title="JSON time unit", description="Unit of timestamps; auto decides by magnitude."
    )
    max_record_bytes: int = Field(
        4 * 1024 * 1024,
        ge=1024,
        le=64 * 1024 * 1024,
        title="Largest record",
        description="Bytes of a record's value; a larger one is dead-lettered.",
    )
    future_limit_s: PositiveDuration = Field(
        600.0, title="Future limit", description="Seconds a timestamp may be ahead of the clock; beyond: dead-lettered."
    )

    @property
    def future_limit_ms(self) -> int:
        """The future limit in milliseconds."""
        return to_ms(self.future_limit_s)


class WindowTiming(NamedTuple):
    """The integer times that one group's windows follow."""

    every_ms: int
    grace_ms: int
    correction_ms: int


def _cycle(seconds: float) -> float:
    if not SHORTEST_CYCLE_MS <= to_ms(seconds) <= LONGEST_CYCLE_MS:
        raise ValueError(
            f"must be {SHORTEST_CYCLE_MS / 1000} to {LONGEST_CYCLE_MS // 1000} s; "
            "longer cycles are rolled up from metrics.agg"
        )
    return seconds


Cycle = Annotated[PositiveDuration, AfterValidator(_cycle)]


class WindowRule(Section):
    """Other times for the groups that a rule matches."""

    measurement: str = Field(
        "*", min_length=1, max_length=500, title="Measurement", description="Glob that the measurement must match."
    )
    tags: dict[str, str] = Field(
        default={}, title="Tags", description="Globs that these tags must match; a missing tag matches nothing."
    )
    every_s: Cycle = Field(title="Cycle", description="Size of a window in seconds.")
    grace_s: Duration | None = Field(
        None, le=3600, title="Grace", description="Seconds to wait for late samples; none: as windows.grace_s."
    )
    correction_s: Duration | None = Field(
        None, le=86_400, title="Correction", description="Seconds a closed window takes corrections; none: one window."
    )

    def matches(self, measurement: str, tags: dict[str, str]) -> bool:
        """Return whether a group of this measurement and these tags follows the rule."""
        return fnmatchcase(measurement, self.measurement) and all(
            key in tags and fnmatchcase(tags[key], glob) for key, glob in self.tags.items()
        )


class WindowsSettings(Section):
    """Size, grace and corrections of windows."""

    every_s: Cycle = Field(60.0, title="Cycle", description="Size of a window in seconds.")
    grace_s: Duration = Field(
        10.0, le=3600, title="Grace", description="Seconds of event time a window waits for late samples."
    )
    correction_s: Duration | None = Field(
        None, le=86_400, title="Correction", description="Seconds a closed window takes corrections; none: one window."
    )
    idle_close_s: PositiveDuration | None = Field(
        None, le=86_400, title="Idle close", description="Seconds of silence until the clock may close; none: grace."
    )
    rules: tuple[WindowRule, ...] = Field(
        (), max_length=1000, title="Rules", description="Other times for some groups; the first that matches is taken."
    )
    dead_letter_late: bool = Field(
        default=False, title="Dead-letter late", description="Whether samples too late for a correction are kept there."
    )

    @property
    def every_ms(self) -> int:
        """The cycle in milliseconds."""
        return to_ms(self.every_s)

    @property
    def grace_ms(self) -> int:
        """The grace in milliseconds."""
        return to_ms(self.grace_s)

    @property
    def correction_ms(self) -> int:
        """The correction time in milliseconds: one window, unless it is set."""
        return self.every_ms if self.correction_s is None else to_ms(self.correction_s)

    @property
    def idle_close_ms(self) -> int:
        """The idle time in milliseconds: the grace, unless it is set."""
        return self.grace_ms if self.idle_close_s is None else to_ms(self.idle_close_s)

    def timing_for(self, measurement: str, tags: dict[str, str]) -> WindowTiming:
        """Return the times for a group: those of the first rule that matches, else the defaults."""
        for rule in self.rules:
            if rule.matches(measurement, tags):
                every_ms = to_ms(rule.every_s)
                return WindowTiming(
                    every_ms=every_ms,
                    grace_ms=self.grace_ms if rule.grace_s is None else to_ms(rule.grace_s),
                    correction_ms=every_ms if rule.correction_s is None else to_ms(rule.correction_s),
                )
        return WindowTiming(every_ms=self.every_ms, grace_ms=self.grace_ms, correction_ms=self.correction_ms)


class StoreSettings(Section):
    """One database that windows are written to."""

    name: str = Field(
        pattern=r"^[a-z0-9-]{1,63}$", title="Name", description="Unique name; its consumer group ends with it."
    )
    kind: Literal["influxdb", "embedded"] = Field(title="Kind", description="InfluxDB 2, or a SQLite file of our own.")
    regions: tuple[str, ...] = Field(
        (), title="Regions", description="Globs of the regions it takes; empty: whatever no other store takes."
    )
    url: Annotated[str, AfterValidator(_http_url)] | None = Field(
        None, title="URL", description="Where InfluxDB listens, as http://HOST:PORT."
    )
    org: str | None = Field(None, min_length=1, title="Organisation", description="InfluxDB's organisation.")
    bucket: str | None = Field(None, min_length=1, title="Bucket", description="InfluxDB's bucket.")
    token: SecretStr | None = Field(None, title="Token", description="InfluxDB's token.")
    token_file: Path | None = Field(
        None, title="Token file", description="A file that holds the token, instead of token."
    )
    gzip: bool = Field(
        default=False, title="Compression", description="Whether requests are compressed: only over a slow network."
    )
    batch_lines: int = Field(
        5000, ge=1, le=100_000, title="Batch size", description="Lines of line protocol a request."
    )
    timeout_s: PositiveDuration = Field(10.0, le=600, title="Time-out", description="Seconds a request may take.")
    requests_in_flight: int = Field(
        2, ge=1, le=64, title="Requests in flight", description="Requests that may wait for an answer at a time."
    )
    path: Path | None = Field(None, title="Path", description="The SQLite file of an embedded store.")

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        influxdb_only = {"url": self.url, "org": self.org, "bucket": self.bucket}
        if self.kind == "influxdb":
            missing = [name for name, value in influxdb_only.items() if value is None]
            if missing:
                raise ValueError(f"kind influxdb needs {', '.join(missing)}")
            if (self.token is None) == (self.token_file is None):
                raise ValueError("kind influxdb needs either token or token_file")
            if self.path is not None:
                raise ValueError("path is for kind embedded")
            return self
        surplus = [name for name, value in influxdb_only.items() if value is not None]
        surplus += ["token"] if self.token is not None else []
        surplus += ["token_file"] if self.token_file is not None else []
        if surplus:
            raise ValueError(f"{', '.join(surplus)}: only for kind influxdb")
        if self.path is None:
            raise ValueError("kind embedded needs path")
        return self

    def read_token(self) -> str | None:
        """Return InfluxDB's token, from its file where one is named; none for an embedded store.

        Raises
        ------
        SettingsError
            If the file cannot be read.
        """
        if self.token_file is not None:
            return read_secret_file(self.token_file, where=f"stores.{self.name}.token_file")
        return None if self.token is None else self.token.get_secret_value()


class WorkerSettings(Section):
    """What a worker process runs, and how it reports."""

    stages: Annotated[tuple[str, ...], AfterValidator(_known_stages)] = Field(
        STAGES, title="Stages", description=f"Stages to run: {', '.join(STAGES)}."
    )
    web_host: str = Field(
        "127.0.0.1", min_length=1, title="Web host", description="Address for /metrics, /healthz and /readyz."
    )
    web_port: int = Field(6066, ge=0, le=65535, title="Web port", description="Port of the web server; 0: a free one.")
    checkpoint_interval_s: PositiveDuration = Field(
        2.0, le=600, title="Checkpoint interval", description="Seconds between checkpoints of a partition."
    )
    log_level: Literal["debug", "info", "warn", "error"] = Field(
        "info", title="Log level", description="The least severe message that is logged."
    )
    log_format: Literal["text", "json"] = Field(
        "text", title="Log format", description="Readable lines for a terminal, or JSON for a collector."
    )


def is_secret(name: str) -> bool:
    """Return whether a setting of this name holds a secret, so that its value is never shown."""
    return re.search(r"password$|token$|secret$", name) is not None

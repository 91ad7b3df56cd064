"""The tables of the control service. A change here needs a migration beside it (``migrations/versions/``)."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()
COUNTED = BigInteger().with_variant(Integer(), "sqlite")
"""A number that the database counts up: SQLite does so for INTEGER alone."""

DOCUMENTS = Table(
    "documents",
    METADATA,
    Column("kind", String(32), nullable=False),
    Column("id", String(100), nullable=False),
    Column("owner", String(100), index=True, comment="ns_id of the tenant that it belongs to; null: the platform's"),
    Column("revision", BigInteger, nullable=False),
    Column("document", Text, nullable=False, comment="JSON, as it is published"),
    Column("updated_ms", BigInteger, nullable=False),
    Column("updated_by", String(200), nullable=False),
    PrimaryKeyConstraint("kind", "id"),
)

LINKS = Table(
    "links",
    METADATA,
    Column("kind", String(32), nullable=False),
    Column("id", String(100), nullable=False),
    Column("to_kind", String(32), nullable=False),
    Column("to_id", String(100), nullable=False),
    PrimaryKeyConstraint("kind", "id", "to_kind", "to_id"),
    Index("ix_links_to_kind_to_id", "to_kind", "to_id"),
    comment="Which documents name which: what is named cannot be deleted",
)

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("number", COUNTED, primary_key=True, autoincrement=True),
    Column("key", String(200), nullable=False),
    Column("value", Text, comment="JSON; null deletes"),
    Column("created_ms", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("hash", String(64), nullable=False, comment="SHA-256 of the secret, in hexadecimal"),
    Column("role", String(20), nullable=False),
    Column("tenants", Text, comment="JSON list of ns_ids; null: all"),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
)

ALERTS = Table(
    "alerts",
    METADATA,
    Column("alert_id", String(100), primary_key=True),
    Column("policy", String(200), nullable=False, index=True),
    Column("ns_id", String(200), index=True),
    Column("resource", Text, nullable=False),
    Column("level", String(20)),
    Column("state", String(20), nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("event", Text, nullable=False, comment="JSON of its newest event"),
    Column("acknowledgement", Text, comment="JSON; null while nobody looks after it"),
    Index("ix_alerts_is_open_changed_ms", "is_open", "changed_ms"),
)

ALERT_EVENTS = Table(
    "alert_events",
    METADATA,
    Column("number", COUNTED, primary_key=True, autoincrement=True),
    Column("id", String(100), nullable=False, unique=True),
    Column("alert_id", String(100), ForeignKey("alerts.alert_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("time_ms", BigInteger, nullable=False, index=True),
    Column("event", Text, nullable=False, comment="JSON"),
)

ALERT_COMMENTS = Table(
    "alert_comments",
    METADATA,
    Column("number", COUNTED, primary_key=True, autoincrement=True),
    Column("alert_id", String(100), ForeignKey("alerts.alert_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("author", String(200), nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
)

ACTIONS = Table(
    "actions",
    METADATA,
    Column("number", COUNTED, primary_key=True, autoincrement=True),
    Column("key", String(200), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("ns_id", String(200), index=True),
    Column("outcome", String(50), nullable=False, index=True),
    Column("time_ms", BigInteger, nullable=False, index=True),
    Column("record", Text, nullable=False, comment="JSON"),
    UniqueConstraint("key", "attempt", "outcome"),
)

ACTION_ALERTS = Table(
    "action_alerts",
    METADATA,
    Column("number", BigInteger, ForeignKey("actions.number", ondelete="CASCADE"), nullable=False),
    Column("alert_id", String(100), nullable=False, index=True),
    PrimaryKeyConstraint("number", "alert_id"),
)

PLACES = Table(
    "places",
    METADATA,
    Column("topic", String(200), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    PrimaryKeyConstraint("topic", "partition"),
    comment="Where the topics that are followed are read from next",
)

"""The first tables: documents, outbox, keys, alerts, actions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_counted = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "documents",
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("id", sa.String(100), nullable=False),
        sa.Column("owner", sa.String(100), comment="ns_id of the tenant that it belongs to; null: the platform's"),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False, comment="JSON, as it is published"),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_by", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("kind", "id"),
    )
    op.create_index("ix_documents_owner", "documents", ["owner"])
    op.create_table(
        "links",
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("id", sa.String(100), nullable=False),
        sa.Column("to_kind", sa.String(32), nullable=False),
        sa.Column("to_id", sa.String(100), nullable=False),
        sa.PrimaryKeyConstraint("kind", "id", "to_kind", "to_id"),
        comment="Which documents name which: what is named cannot be deleted",
    )
    op.create_index("ix_links_to_kind_to_id", "links", ["to_kind", "to_id"])
    op.create_table(
        "outbox",
        sa.Column("number", _counted, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("value", sa.Text, comment="JSON; null deletes"),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False, comment="SHA-256 of the secret, in hexadecimal"),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("tenants", sa.Text, comment="JSON list of ns_ids; null: all"),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger),
        sa.Column("revoked_ms", sa.BigInteger),
    )
    _create_alerts()
    _create_actions()
    op.create_table(
        "places",
        sa.Column("topic", sa.String(200), nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition"),
        comment="Where the topics that are followed are read from next",
    )


def _create_alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.String(100), primary_key=True),
        sa.Column("policy", sa.String(200), nullable=False),
        sa.Column("ns_id", sa.String(200)),
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("level", sa.String(20)),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("is_open", sa.Boolean, nullable=False),
        sa.Column("opened_ms", sa.BigInteger, nullable=False),
        sa.Column("changed_ms", sa.BigInteger, nullable=False),
        sa.Column("event", sa.Text, nullable=False, comment="JSON of its newest event"),
        sa.Column("acknowledgement", sa.Text, comment="JSON; null while nobody looks after it"),
    )
    op.create_index("ix_alerts_policy", "alerts", ["policy"])
    op.create_index("ix_alerts_ns_id", "alerts", ["ns_id"])
    op.create_index("ix_alerts_is_open_changed_ms", "alerts", ["is_open", "changed_ms"])
    op.create_table(
        "alert_events",
        sa.Column("number", _counted, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(100), nullable=False, unique=True),
        sa.Column("alert_id", sa.String(100), sa.ForeignKey("alerts.alert_id", ondelete="CASCADE"), nullable=False),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sa.Column("event", sa.Text, nullable=False, comment="JSON"),
    )
    for column in ("alert_id", "time_ms"):
        op.create_index(f"ix_alert_events_{column}", "alert_events", [column])
    op.create_table(
        "alert_comments",
        sa.Column("number", _counted, primary_key=True, autoincrement=True),
        sa.Column("alert_id", sa.String(100), sa.ForeignKey("alerts.alert_id", ondelete="CASCADE"), nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_index("ix_alert_comments_alert_id", "alert_comments", ["alert_id"])


def _create_actions() -> None:
    op.create_table(
        "actions",
        sa.Column("number", _counted, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("ns_id", sa.String(200)),
        sa.Column("outcome", sa.String(50), nullable=False),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sa.Column("record", sa.Text, nullable=False, comment="JSON"),
        sa.UniqueConstraint("key", "attempt", "outcome"),
    )
    for column in ("ns_id", "outcome", "time_ms"):
        op.create_index(f"ix_actions_{column}", "actions", [column])
    op.create_table(
        "action_alerts",
        sa.Column("number", sa.BigInteger, sa.ForeignKey("actions.number", ondelete="CASCADE"), nullable=False),
        sa.Column("alert_id", sa.String(100), nullable=False),
        sa.PrimaryKeyConstraint("number", "alert_id"),
    )
    op.create_index("ix_action_alerts_alert_id", "action_alerts", ["alert_id"])

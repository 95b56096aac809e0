"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "controllers",
        sa.Column("instance", sa.Text, primary_key=True),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("edge", sa.Text, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("last_address", sa.Text, nullable=False),
        sa.Column("notices", sa.Text, nullable=False),
        sa.Column("problems", sa.Text, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("instance", sa.Text, primary_key=True),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("held_by", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
    )
    op.create_table(
        "applications",
        sa.Column("instance", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("condition", sa.Text),
        sa.Column("revision", sa.Text),
        sa.Column("spec_hash", sa.Text),
        sa.Column("mode", sa.Text),
        sa.Column("desired", sa.Integer),
        sa.Column("current", sa.Integer),
        sa.Column("ready", sa.Integer),
        sa.Column("routed", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("created_at", sa.Double),
        sa.Column("updated_at", sa.Double),
        sa.Column("last_scaled_at", sa.Double),
        sa.Column("spec", sa.Text),
        sa.Column("status", sa.Text),
        sa.Column("memory", sa.Text),
    )
    op.create_table(
        "instances",
        sa.Column("instance", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("app", sa.Text, nullable=False),
        sa.Column("slot", sa.Integer, nullable=False),
        sa.Column("container_id", sa.Text, nullable=False),
        sa.Column("address", sa.Text),
        sa.Column("port", sa.Integer),
        sa.Column("state", sa.Text),
        sa.Column("phase", sa.Text),
        sa.Column("health", sa.Text),
        sa.Column("failures", sa.Integer),
        sa.Column("restarts", sa.Integer),
        sa.Column("cpu_percent", sa.Double),
        sa.Column("memory_percent", sa.Double),
        sa.Column("last_seen", sa.Double),
        sa.Column("status", sa.Text),
        sa.Column("memory", sa.Text),
    )
    op.create_table(
        "events",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("app", sa.Text),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
    )
    op.create_index("events_by_time", "events", ["instance", "at"])
    op.create_index("events_by_app", "events", ["instance", "app", "at"])
    op.create_index("events_by_type", "events", ["instance", "type", "at"])
    op.create_table(
        "actions",
        sa.Column("instance", sa.Text, primary_key=True),
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("verb", sa.Text, primary_key=True),
        sa.Column("planned_at", sa.Double, primary_key=True),
        sa.Column("app", sa.Text, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("finished_at", sa.Double),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
    )
    op.create_index("actions_by_time", "actions", ["instance", "planned_at"])
    op.create_index("actions_by_app", "actions", ["instance", "app", "planned_at"])
    op.create_table(
        "revisions",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("applied_at", sa.Double, nullable=False),
        sa.Column("notices", sa.Text, nullable=False),
        sa.Column("problems", sa.Text, nullable=False),
    )
    op.create_index("revisions_by_time", "revisions", ["instance", "applied_at"])
    op.create_table(
        "route_tables",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("generation", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("published", sa.Text, nullable=False),
    )
    op.create_index("route_tables_by_instance", "route_tables", ["instance", "id"])
    op.create_table(
        "scaling_decisions",
        sa.Column("instance", sa.Text, primary_key=True),
        sa.Column("app", sa.Text, primary_key=True),
        sa.Column("at", sa.Double, primary_key=True),
        sa.Column("current", sa.Integer, nullable=False),
        sa.Column("target", sa.Integer, nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
    )
    op.create_index("scaling_decisions_by_time", "scaling_decisions", ["instance", "at"])
    op.create_table(
        "samples",
        sa.Column("instance", sa.Text, primary_key=True),
        sa.Column("app", sa.Text, primary_key=True),
        sa.Column("resolution_seconds", sa.Double, primary_key=True),
        sa.Column("at", sa.Double, primary_key=True),
        sa.Column("replicas", sa.Integer, nullable=False),
        sa.Column("cpu_percent", sa.Double),
        sa.Column("memory_percent", sa.Double),
        sa.Column("rps", sa.Double),
        sa.Column("p50_latency_ms", sa.Double),
        sa.Column("p95_latency_ms", sa.Double),
        sa.Column("p99_latency_ms", sa.Double),
        sa.Column("connections", sa.Double),
        sa.Column("error_rate", sa.Double),
        sa.Column("status_1xx", sa.BigInteger),
        sa.Column("status_2xx", sa.BigInteger),
        sa.Column("status_3xx", sa.BigInteger),
        sa.Column("status_4xx", sa.BigInteger),
        sa.Column("status_5xx", sa.BigInteger),
        sa.Column("bytes_sent", sa.BigInteger),
        sa.Column("custom", sa.Text, nullable=False),
    )
    op.create_index("samples_by_time", "samples", ["instance", "resolution_seconds", "at"])

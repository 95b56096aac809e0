"""The tables, for SQLite and PostgreSQL alike.

Several controllers may share one database, so every key begins with the instance. What is kept of an app or a replica
are two JSON texts, its ``status`` and its ``state``, so that a field added to a value is never silently lost. Of the
past, a column has the name of the field it holds. Times are epoch seconds. Any change here needs a migration and a new
HEAD; a test compares the two.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

# The migration that brings a database to what this module describes.
HEAD = "0002"

metadata = sa.MetaData()


class Plain(sa.TypeDecorator[str]):
    """Text for people. PostgreSQL takes no NUL, and UTF-8 no half of a surrogate pair: both are replaced."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return value.encode(errors="replace").decode().replace("\0", "\ufffd")


# SQLite numbers rows only where the type is exactly INTEGER.
Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _instance() -> sa.Column[Any]:
    return sa.Column("instance", sa.Text, primary_key=True)


controllers = sa.Table(
    "controllers",
    metadata,
    _instance(),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("host", Plain, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("started_at", sa.Double, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False),
    sa.Column("source", Plain, nullable=False),
    sa.Column("edge", Plain, nullable=False),
    sa.Column("revision", Plain, nullable=False),
    sa.Column("last_address", Plain, nullable=False),
    sa.Column("notices", sa.Text, nullable=False),
    sa.Column("problems", sa.Text, nullable=False),
)

leases = sa.Table(
    "leases",
    metadata,
    _instance(),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("held_by", Plain, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
)

applications = sa.Table(
    "applications",
    metadata,
    _instance(),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("status", sa.Text),
    sa.Column("state", sa.Text),
)

replicas = sa.Table(
    "replicas",
    metadata,
    _instance(),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("app_name", Plain, nullable=False),
    sa.Column("slot", sa.Integer, nullable=False),
    sa.Column("status", sa.Text),
    sa.Column("state", sa.Text),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", Serial, primary_key=True),
    sa.Column("instance", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("app_name", sa.Text),
    sa.Column("message", Plain, nullable=False),
    sa.Column("details", sa.Text, nullable=False),
    sa.Index("events_by_time", "instance", "at"),
    sa.Index("events_by_app", "instance", "app_name", "at"),
    sa.Index("events_by_type", "instance", "type", "at"),
)

actions = sa.Table(
    "actions",
    metadata,
    _instance(),
    sa.Column("target", Plain, primary_key=True),
    sa.Column("verb", sa.Text, primary_key=True),
    sa.Column("planned_at", sa.Double, primary_key=True),
    sa.Column("app_name", sa.Text, nullable=False),
    sa.Column("cause", Plain, nullable=False),
    sa.Column("finished_at", sa.Double),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reason", Plain, nullable=False),
    sa.Column("message", Plain, nullable=False),
    sa.Index("actions_by_time", "instance", "planned_at"),
    sa.Index("actions_by_app", "instance", "app_name", "planned_at"),
)

revisions = sa.Table(
    "revisions",
    metadata,
    sa.Column("id", Serial, primary_key=True),
    sa.Column("instance", sa.Text, nullable=False),
    sa.Column("revision", Plain, nullable=False),
    sa.Column("applied_at", sa.Double, nullable=False),
    sa.Column("notices", sa.Text, nullable=False),
    sa.Column("problems", sa.Text, nullable=False),
    sa.Index("revisions_by_time", "instance", "applied_at"),
)

route_tables = sa.Table(
    "route_tables",
    metadata,
    sa.Column("id", Serial, primary_key=True),
    sa.Column("instance", sa.Text, nullable=False),
    sa.Column("published", sa.Text, nullable=False),
    sa.Index("route_tables_by_instance", "instance", "id"),
)

scaling_decisions = sa.Table(
    "scaling_decisions",
    metadata,
    _instance(),
    sa.Column("app_name", sa.Text, primary_key=True),
    sa.Column("at", sa.Double, primary_key=True),
    sa.Column("decision", sa.Text, nullable=False),
    sa.Index("scaling_decisions_by_time", "instance", "at"),
)

samples = sa.Table(
    "samples",
    metadata,
    _instance(),
    sa.Column("app_name", sa.Text, primary_key=True),
    sa.Column("resolution_seconds", sa.Double, primary_key=True),
    sa.Column("at", sa.Double, primary_key=True),
    sa.Column("replicas", sa.Integer, nullable=False),
    *(sa.Column(name, sa.Double) for name in ("cpu_percent", "memory_percent", "rps")),
    *(sa.Column(name, sa.Double) for name in ("p50_latency_ms", "p95_latency_ms", "p99_latency_ms")),
    *(sa.Column(name, sa.Double) for name in ("connections", "error_rate")),
    *(
        sa.Column(name, sa.BigInteger)
        for name in ("status_1xx", "status_2xx", "status_3xx", "status_4xx", "status_5xx")
    ),
    sa.Column("bytes_sent", sa.BigInteger),
    sa.Column("custom", sa.Text, nullable=False),
    sa.Index("samples_by_time", "instance", "resolution_seconds", "at"),
)

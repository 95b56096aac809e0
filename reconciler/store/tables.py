"""The tables, for SQLite and PostgreSQL alike.

Several controllers may share one database, so every key begins with the instance. What is kept of an app or a replica
are two JSON texts, its ``status`` and its ``state``, so that a field added to a value is never silently lost. Of the
past, a column has the name of the field it holds. Times are epoch seconds. Any change here needs a migration and a new
HEAD; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

# The migration that brings a database to what this module describes.
HEAD = "0005"

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


def _columns(type_: Any, *names: str, nullable: bool = False) -> Iterator[sa.Column[Any]]:
    return (sa.Column(name, type_, nullable=nullable) for name in names)


def _keys(type_: Any, *names: str) -> Iterator[sa.Column[Any]]:
    """Columns of the primary key, in its order."""
    return (sa.Column(name, type_, primary_key=True) for name in names)


controllers = sa.Table(
    "controllers",
    metadata,
    *_keys(sa.Text, "instance"),
    *_columns(sa.Text, "version", "notices", "problems", "outages"),
    *_columns(Plain, "host", "source", "edge", "revision", "last_address"),
    *_columns(sa.Integer, "pid"),
    *_columns(sa.Double, "started_at", "seen_at"),
    *_columns(sa.Text, "last_record", nullable=True),
)

leases = sa.Table(
    "leases",
    metadata,
    *_keys(sa.Text, "instance"),
    *_columns(sa.BigInteger, "epoch"),
    *_columns(sa.Text, "holder"),
    *_columns(Plain, "held_by"),
    *_columns(sa.Double, "expires_at"),
    *_columns(sa.Double, "seen_at", nullable=True),
    *_columns(Plain, "sign", nullable=True),
)

applications = sa.Table(
    "applications",
    metadata,
    *_keys(sa.Text, "instance", "name"),
    *_columns(sa.Text, "status", "state", nullable=True),
)

replicas = sa.Table(
    "replicas",
    metadata,
    *_keys(sa.Text, "instance", "name"),
    *_columns(Plain, "app_name"),
    *_columns(sa.Integer, "slot"),
    *_columns(sa.Text, "status", "state", nullable=True),
)

events = sa.Table(
    "events",
    metadata,
    *_keys(Serial, "id"),
    *_columns(sa.Text, "instance", "type", "details"),
    *_columns(sa.Text, "app_name", nullable=True),
    *_columns(Plain, "message"),
    *_columns(sa.Double, "at"),
    sa.Index("events_by_time", "instance", "at"),
    sa.Index("events_by_app", "instance", "app_name", "at"),
    sa.Index("events_by_type", "instance", "type", "at"),
)

actions = sa.Table(
    "actions",
    metadata,
    *_keys(sa.Text, "instance"),
    *_keys(Plain, "target"),
    *_keys(sa.Text, "verb"),
    *_keys(sa.Double, "planned_at"),
    *_columns(sa.Text, "app_name", "outcome"),
    *_columns(Plain, "cause", "reason", "message"),
    *_columns(sa.Double, "finished_at", nullable=True),
    sa.Index("actions_by_time", "instance", "planned_at"),
    sa.Index("actions_by_app", "instance", "app_name", "planned_at"),
)

revisions = sa.Table(
    "revisions",
    metadata,
    *_keys(Serial, "id"),
    *_columns(sa.Text, "instance", "notices", "problems"),
    *_columns(Plain, "revision"),
    *_columns(sa.Double, "applied_at"),
    sa.Index("revisions_by_time", "instance", "applied_at"),
)

route_tables = sa.Table(
    "route_tables",
    metadata,
    *_keys(Serial, "id"),
    *_columns(sa.Text, "instance", "published"),
    sa.Index("route_tables_by_instance", "instance", "id"),
)

scaling_decisions = sa.Table(
    "scaling_decisions",
    metadata,
    *_keys(sa.Text, "instance", "app_name"),
    *_keys(sa.Double, "at"),
    *_columns(sa.Text, "decision"),
    sa.Index("scaling_decisions_by_time", "instance", "at"),
)

samples = sa.Table(
    "samples",
    metadata,
    *_keys(sa.Text, "instance", "app_name"),
    *_keys(sa.Double, "resolution_seconds", "at"),
    *_columns(sa.Integer, "replicas"),
    *_columns(sa.Text, "custom"),
    *_columns(sa.Double, "cpu_percent", "memory_percent", "rps", "connections", "error_rate", nullable=True),
    *_columns(sa.Double, "p50_latency_ms", "p95_latency_ms", "p99_latency_ms", nullable=True),
    *_columns(sa.BigInteger, "status_1xx", "status_2xx", "status_3xx", "status_4xx", "status_5xx", nullable=True),
    *_columns(sa.BigInteger, "bytes_sent", "repaired", "given_up", nullable=True),
    sa.Index("samples_by_time", "instance", "resolution_seconds", "at"),
)

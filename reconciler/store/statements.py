"""The few ways rows are written, in bulk, on both kinds of database. None does anything where there are no rows."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from reconciler.store import tables

_INSERTS: dict[str, Callable[[sa.Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def add(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows that number themselves."""
    if rows:
        connection.execute(table.insert(), rows)


def put(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows, or overwrite those whose primary keys are taken. No key may occur twice."""
    if rows:
        connection.execute(_upsert(table, connection.dialect.name), rows)


def remove(connection: sa.Connection, table: sa.Table, instance: str, names: Collection[str]) -> None:
    """Delete rows by name."""
    if names:
        connection.execute(table.delete().where(table.c.instance == instance, table.c.name.in_(names)))


def interrupt(connection: sa.Connection, instance: str, at: float) -> None:
    """Close the actions that a controller which is gone left open: nobody will ever report how they ended."""
    table = tables.actions
    left_open = (table.c.instance == instance) & (table.c.outcome == "pending")
    connection.execute(table.update().where(left_open).values(outcome="interrupted", finished_at=at))


@cache
def _upsert(table: sa.Table, dialect_name: str) -> sa.Executable:
    statement = _INSERTS[dialect_name](table)
    overwritten = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
    result: sa.Executable = statement.on_conflict_do_update(index_elements=table.primary_key, set_=overwritten)
    return result

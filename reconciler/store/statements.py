"""The few ways rows are written, in bulk, on both kinds of database. None does anything where there are no rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from reconciler.store.rows import Row

_INSERTS: dict[str, Callable[[sa.Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


@dataclass(frozen=True, slots=True)
class Writes:
    """What is written of one instance in one transaction. The rows it is given are completed with the instance."""

    connection: sa.Connection
    instance: str

    def add(self, table: sa.Table, rows: Iterable[Row]) -> None:
        """Insert rows that number themselves."""
        if completed := self._completed(rows):
            self.connection.execute(table.insert(), completed)

    def put(self, table: sa.Table, rows: Iterable[Row]) -> None:
        """Insert rows, or overwrite those whose primary keys are taken. No key may occur twice."""
        if completed := self._completed(rows):
            self.connection.execute(_upsert(table, self.connection.dialect.name), completed)

    def remove(self, table: sa.Table, names: Collection[str]) -> None:
        """Delete rows by name."""
        if names:
            mine = table.c.instance == self.instance
            self.connection.execute(table.delete().where(mine, table.c.name.in_(names)))

    def _completed(self, rows: Iterable[Row]) -> list[Row]:
        completed = list(rows)
        for row in completed:
            row["instance"] = self.instance
        return completed


@cache
def _upsert(table: sa.Table, dialect_name: str) -> sa.Executable:
    statement = _INSERTS[dialect_name](table)
    overwritten = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
    result: sa.Executable = statement.on_conflict_do_update(index_elements=table.primary_key, set_=overwritten)
    return result

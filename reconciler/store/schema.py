"""The schema's version: brought up to date under a lock by the writer, only looked at by readers.

A database newer than the program is refused: guessing at columns would lose what the newer version recorded.
"""

from __future__ import annotations

import sqlalchemy as sa

from reconciler.ports import Unavailable, Unfit
from reconciler.store.database import Database
from reconciler.store.tables import HEAD


def prepare(database: Database) -> None:
    """Bring the schema up to date, in one transaction. Two programs that start at once take turns.

    Raises Unavailable, of that Unfit where the database is newer than this program.
    """
    with database.transaction() as connection:
        if connection.dialect.name == "postgresql":  # SQLite's transaction has locked out other writers already
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('orchestry schema'))"))
        if _version(connection, database.place) != HEAD:
            _upgrade(connection)


def check(connection: sa.Connection, place: str) -> bool:
    """Whether there is anything to read. Raises Unavailable where the schema is another version's."""
    version = _version(connection, place)
    if version not in (None, HEAD):
        raise Unavailable(
            f"{place} has schema {version}, this program reads {HEAD}: start the controller of this version, "
            "which brings it up to date"
        )
    return version is not None


def _version(connection: sa.Connection, place: str) -> str | None:
    """The migration the database stands at; None for an empty one. Raises Unfit for one this program lacks."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    if version is not None and version > HEAD:
        raise Unfit(
            f"{place} has schema {version}, this program knows up to {HEAD}: "
            "update this program to the version that wrote it, or give it another database"
        )
    return version


def _upgrade(connection: sa.Connection) -> None:
    # Imported here: alembic costs more to import than an up-to-date database costs to open.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "reconciler.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

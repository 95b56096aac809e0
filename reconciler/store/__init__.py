"""State across restarts, and the record that reports read: SQLite by default, PostgreSQL by URL.

Two doors: `open_store` for the one controller that writes, `open_reader` for everybody who looks. Nothing outside this
package knows a table, and nothing in it decides anything.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from reconciler import alive
from reconciler.store import sqlite_reading
from reconciler.store.database import Postgres, postgres_url
from reconciler.store.leadership import FileLock
from reconciler.store.reader import SqlReader
from reconciler.store.retention import DEFAULT_RETENTION, Retention
from reconciler.store.sqlite import FILE_NAME, SqliteFile
from reconciler.store.sqlstore import SqlStore

__all__ = ["Retention", "SqlReader", "SqlStore", "open_reader", "open_store"]


def open_store(
    url: str | None,
    *,
    state_dir: Path,
    instance: str,
    retention: Retention = DEFAULT_RETENTION,
    prepared: bool = True,
) -> SqlStore:
    """The database at ``url`` or, without one, ``STATE_DIR/orchestry.db``; made, or brought up to date, where needed.

    The caller becomes the instance's controller until it closes the store or ends. Where it isn't to be ``prepared``
    here, the state directory is locked, and all else waits for `load`. Raises AlreadyRunning where another process is
    the controller, Unavailable where the database can't be reached, written, or is newer than this program.
    """
    lock = FileLock(state_dir, instance)
    try:
        server = Postgres(postgres_url(url)) if url else None
        store = SqlStore(server or SqliteFile(state_dir / FILE_NAME), instance, lock, retention, shared=server)
        if prepared:
            store.prepare()
    except BaseException:
        lock.release()
        raise
    return store


def open_reader(url: str | None, *, state_dir: Path, instance: str) -> SqlReader:
    """A reader of the same database. Opens nothing yet; each call of the reader raises what it meets."""
    if url:
        server = Postgres(postgres_url(url), pooled=False)
        return SqlReader(server.reading, server.place, instance, state_dir / alive.FILE_NAME)
    path = state_dir / FILE_NAME
    return SqlReader(
        partial(sqlite_reading.reading, path), f"SQLite database {path}", instance, state_dir / alive.FILE_NAME
    )

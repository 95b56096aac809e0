"""The default database: one SQLite file under the state directory, durable, and readable by other users.

It has a rollback journal, not a write-ahead log: a log's database can't be opened read-only by another user once its
writer has closed it. A file that is damaged is moved aside, never deleted; one that vanished under us is made anew.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from reconciler.ports import Unavailable
from reconciler.store.database import Damaged, explaining

BUSY_TIMEOUT_SECONDS = 5.0
FILE_NAME = "orchestry.db"

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_REMEDIES = {
    sqlite3.SQLITE_BUSY: "another process keeps it locked; end that one, and it goes on by itself",
    sqlite3.SQLITE_FULL: "make room on its disk",
    sqlite3.SQLITE_READONLY: "give the user this runs as write permission on the file and its directory",
    sqlite3.SQLITE_CANTOPEN: "give the user this runs as access to the file and its directory",
    sqlite3.SQLITE_IOERR: "check its disk",
}


class SqliteFile:
    """The file, open for writing."""

    def __init__(self, path: Path) -> None:
        self.place = f"SQLite database {path}"
        self._path = path
        self._engine = sa.create_engine(
            "sqlite://", creator=self._connect, poolclass=sa.QueuePool, hide_parameters=True
        )
        sa.event.listen(self._engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        self._identity = self._create()

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        self._confirm()
        with explaining(partial(explained, self.place)), self._engine.begin() as connection:
            yield connection

    def _confirm(self) -> None:
        """Raises Damaged where the file at our path is no longer the one we have open: SQLite wouldn't notice."""
        with reaching(self.place), suppress(FileNotFoundError):
            if os.path.samestat(self._path.stat(), self._identity):
                return
        raise Damaged("it was removed or replaced while in use")

    def start_over(self, why: str) -> str:
        self._engine.dispose()
        moved = self._set_aside()
        self._identity = self._create()
        where = f"it was moved to {moved.name} and " if moved else ""
        return f"{self.place} could not be used ({why}); {where}a new one was begun, earlier records are not in it"

    def dispose(self) -> None:
        self._engine.dispose()

    def _connect(self) -> sqlite3.Connection:
        # isolation_level None: transactions begin where SQLAlchemy says, for tables as well as for rows.
        connection = sqlite3.connect(
            self._path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
        )
        # TRUNCATE, which with FULL syncs the end of each transaction; DELETE may bring back the one before.
        for pragma in ("journal_mode=TRUNCATE", "synchronous=FULL"):
            try:
                connection.execute(f"PRAGMA {pragma}")
            except sqlite3.Error:
                connection.close()
                raise
        return connection

    def _create(self) -> os.stat_result:
        """Make sure there is a file, readable by everybody whatever the umask, and tell its identity."""
        with reaching(self.place):
            make_readable_directory(self._path.parent)
            with suppress(FileExistsError):
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644))
                self._path.chmod(0o644)
            return self._path.stat()

    def _set_aside(self) -> Path | None:
        with reaching(self.place):
            if not self._path.exists():
                return None
            moved = self._path.with_name(f"{self._path.name}.corrupt-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
            for suffix in ("-journal", ""):
                with suppress(FileNotFoundError):
                    Path(f"{self._path}{suffix}").rename(f"{moved}{suffix}")
            return moved


def make_readable_directory(path: Path) -> None:
    """Make sure there is one; a new one can be entered by everybody, whatever the umask."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o755)


@contextmanager
def reaching(place: str) -> Iterator[None]:
    """Let what the file system says against it leave as Unavailable."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{place}: {error.strerror}; name a --state-dir that the user this runs as may write to"
        ) from error


def explained(place: str, cause: BaseException) -> Unavailable | Damaged:
    """A driver's error as one of ours."""
    code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _DAMAGED:
        return Damaged(str(cause))
    return Unavailable(f"{place}: {cause}; {_REMEDIES.get(code, 'check the file and its directory')}")

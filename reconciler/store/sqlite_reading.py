"""Reading the SQLite file as anybody with read permission: while its writer runs, after it stopped or was killed.

It never creates, changes or rolls back anything of the writer's. The one case that takes more than opening the file
is a writer killed in the middle of a transaction: what it had half written has to be rolled back first, which takes
write permission, so that is done on a private copy.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from reconciler.ports import NothingRecorded, Unavailable
from reconciler.store.database import Damaged, explaining
from reconciler.store.sqlite import BUSY_TIMEOUT_SECONDS, explained

_COPY_ATTEMPTS = 5


@contextmanager
def reading(path: Path) -> Iterator[sa.Connection]:
    """One moment of the file at ``path``, read-only. Raises NothingRecorded where there is none, or Unavailable."""
    place = f"SQLite database {path}"
    _require_readable(path, place)
    with explaining(partial(_explained, place)), ExitStack() as stack:
        file = _whole(path, stack)
        yield stack.enter_context(_engine(file).connect())


def _engine(file: Path) -> sa.Engine:
    engine = sa.create_engine("sqlite://", creator=lambda: _connect(file), poolclass=sa.NullPool)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


def _connect(file: Path) -> sqlite3.Connection:
    address = f"file:{quote(str(file))}?mode=ro"
    return sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None)


def _require_readable(path: Path, place: str) -> None:
    try:
        path.open("rb").close()
    except FileNotFoundError as error:
        raise NothingRecorded(
            f"there is no {place}: start the controller with `orchestry run`, or name its --state-dir"
        ) from error
    except OSError as error:
        raise Unavailable(
            f"{place}: {error.strerror}; it takes read permission on the file and access to its directory"
        ) from error


def _whole(path: Path, stack: ExitStack) -> Path:
    """The file itself or, where a transaction was cut off, a copy with that transaction undone."""
    for _ in range(_COPY_ATTEMPTS):
        if not _was_cut_off(path):
            return path
        copy = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orchestry-"))) / path.name
        if _copied(path, copy):
            with closing(sqlite3.connect(copy)) as connection:
                connection.execute("SELECT count(*) FROM sqlite_master")
            return copy
    raise Unavailable(f"SQLite database {path} keeps changing while it is copied; try again")


def _was_cut_off(path: Path) -> bool:
    with closing(_connect(path)) as connection:
        try:
            connection.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise
            return True
    return False


def _copied(path: Path, copy: Path) -> bool:
    """Copy file and journal; False where a writer came back meanwhile, so that the two may not fit together."""
    journal, journal_copy = Path(f"{path}-journal"), Path(f"{copy}-journal")
    try:
        before = _marks(path), _marks(journal)
        shutil.copyfile(path, copy)
        shutil.copyfile(journal, journal_copy)
        return before == (_marks(path), _marks(journal))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Unavailable(
            f"SQLite database {path} was left in the middle of a change, and copying it to {copy.parent} failed "
            f"({error.strerror}): make room there, or start the controller, which repairs it"
        ) from error


def _marks(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _explained(place: str, cause: BaseException) -> Unavailable:
    error = explained(place, cause)
    if isinstance(error, Damaged):
        return Unavailable(
            f"{place} is damaged ({error}); a controller that starts moves it aside and begins a new one"
        )
    return error

"""A database to write to: its engine, its transactions, and its errors in words people can act on.

Whatever a driver raises leaves here as `ports.Unavailable` with a remedy or, for a SQLite file that is damaged or gone,
as `Damaged`, which the store answers by starting over. No message ever holds a password, and no wait is without end: on
a server that has stopped talking the line is cut.
"""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from threading import Timer
from typing import Any, Protocol

import psycopg2
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from reconciler.ports import Unavailable
from reconciler.redaction import redacted
from reconciler.store.rights import User, missing_right, no_schema

CONNECT_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_SECONDS = 10
# The server ends statements itself; this is for one that can't even do that.
TRANSACTION_SECONDS = 60.0
QUESTION_SECONDS = 5.0

_URL_FORM = "postgresql+psycopg2://USER:PASSWORD@HOST:PORT/DATABASE"
_NEW = "new"
_READ_ONLY = "25006"
_IF_READ_ONLY = (
    "it goes on once it does; where servers take each other's place, name all of them in --database, with "
    "target_session_attrs=read-write"
)
_POSTGRES_NAMES = ("postgres", "postgresql", "postgresql+psycopg2")


class Damaged(Exception):
    """The database file can't be used any more; the message says why."""


class Database(Protocol):
    """What the store needs of a database."""

    place: str

    def transaction(self) -> AbstractContextManager[sa.Connection]:
        """One transaction, committed at the end. Raises Unavailable or Damaged."""

    def start_over(self, why: str) -> str:
        """Put an empty database in the place of a damaged one and say, in one sentence, what was done."""

    def dispose(self) -> None: ...


class Postgres:
    """A PostgreSQL server, or the one of several that takes writes, reached through a pool whose connections are
    checked before use."""

    def __init__(self, url: URL, *, pooled: bool = True) -> None:
        self.place = f"PostgreSQL database {url.database} at {_hosts(url)}"
        self._secrets = _secrets(url)
        self._user = User(url.username or "", writes=pooled)
        options: dict[str, Any] = {
            "connect_args": _postgres_options(),
            "executemany_mode": "values_plus_batch",
            "hide_parameters": True,
        }
        bounds = {"pool_size": 2, "max_overflow": 3, "pool_timeout": CONNECT_TIMEOUT_SECONDS}
        self._engine = sa.create_engine(url, **options, **(bounds if pooled else {"poolclass": sa.NullPool}))
        if pooled:
            sa.event.listen(self._engine, "connect", _mark)
            sa.event.listen(self._engine, "checkout", _check)
        # Questions don't wait for transactions, which may take long.
        self._questions = sa.create_engine(url, **options, **bounds, isolation_level="AUTOCOMMIT")

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        with (
            explaining(self._explained),
            self._engine.connect() as connection,
            _bounded(connection, TRANSACTION_SECONDS),
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def asking(self) -> Iterator[sa.Connection]:
        """A connection for one short question, from whichever thread. It may have broken since it was last used: ask
        again."""
        with (
            explaining(self._explained),
            self._questions.connect() as connection,
            _bounded(connection, QUESTION_SECONDS),
        ):
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One moment, read-only."""
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with (
            explaining(self._explained),
            self._engine.connect().execution_options(**options) as connection,
            _bounded(connection, TRANSACTION_SECONDS),
        ):
            if connection.scalar(sa.text("SELECT current_schema()")) is None:
                raise Unavailable(f"{self.place}: {no_schema(self._user)}")
            yield connection

    def start_over(self, why: str) -> str:
        raise Unavailable(f"{self.place}: {why}; a server's database is its administrator's to restore")

    def dispose(self) -> None:
        self._engine.dispose()
        self._questions.dispose()

    def _explained(self, cause: BaseException) -> Unavailable:
        self.dispose()  # transactions and questions go on with one server, which may be another
        if missing := missing_right(cause, self._user):
            return Unavailable(f"{self.place}: {missing}")
        if getattr(cause, "pgcode", None) == _READ_ONLY:
            return Unavailable(f"{self.place}: it takes no writes at this time ({str(cause).strip()}); {_IF_READ_ONLY}")
        said = redacted(" ".join(str(cause).split()) or type(cause).__name__, self._secrets)
        return Unavailable(
            f"{self.place}: {said}; check that the server runs and that --database names it and its user rightly"
        )


def _mark(_: Any, record: ConnectionPoolEntry) -> None:
    """Note of a connection that it was made just now."""
    record.info[_NEW] = True


def _check(connection: Any, record: ConnectionPoolEntry, _: object) -> None:
    """Look whether a connection of a pool still leads anywhere; where it doesn't, the pool makes another."""
    if record.info.pop(_NEW, False):
        return
    try:
        before, connection.autocommit = connection.autocommit, True
        with _bounded_line(connection, QUESTION_SECONDS), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.autocommit = before
    except psycopg2.Error as error:
        raise DisconnectionError from error


def _bounded(connection: sa.Connection, seconds: float) -> AbstractContextManager[None]:
    return _bounded_line(connection.connection.driver_connection, seconds)


@contextmanager
def _bounded_line(connection: Any, seconds: float) -> Iterator[None]:
    """Cut a connection after so many seconds: the driver itself would wait for an answer without end."""
    with socket.socket(fileno=os.dup(connection.fileno())) as line:
        timer = Timer(seconds, _cut, [line])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _cut(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


@contextmanager
def explaining(explained: Callable[[BaseException], Exception]) -> Iterator[None]:
    """Let what a driver raises, in our hands or in SQLAlchemy's, leave as what ``explained`` makes of it."""
    try:
        yield
    except DBAPIError as error:
        raise explained(error.orig or error) from error
    except (PoolTimeout, psycopg2.Error, sqlite3.Error) as error:
        raise explained(error) from error


def postgres_url(text: str) -> URL:
    """The URL of ``--database``. Raises Unavailable, without repeating the text, where it is none."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise Unavailable(f"--database: found something that is no URL; expected {_URL_FORM}") from error
    if url.drivername not in _POSTGRES_NAMES:
        raise Unavailable(
            f"--database: found {url.drivername}://…; expected {_URL_FORM}, or none for SQLite in the state directory"
        )
    return url.set(drivername="postgresql+psycopg2")


def _hosts(url: URL) -> str:
    """Which servers a URL names, for people."""
    named = url.query.get("host", ())
    hosts = [named] if isinstance(named, str) else list(named)
    if not hosts:
        hosts = [f"{url.host}:{url.port or 5432}"] if url.host else ["the local socket"]
    return " or ".join(hosts)


def _secrets(url: URL) -> tuple[str, ...]:
    """What of a URL must not be repeated, wherever it stands."""
    options = [url.query[name] for name in ("password", "sslpassword") if name in url.query]
    return tuple(text for text in (url.password, *options) if isinstance(text, str) and text)


def _postgres_options() -> dict[str, object]:
    """Time-outs on everything: connecting, a statement, waiting for a lock, and a peer that went silent."""
    milliseconds = STATEMENT_TIMEOUT_SECONDS * 1000
    return {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "options": f"-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout={3 * milliseconds}",
        "tcp_user_timeout": milliseconds,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "application_name": "orchestry",
    }

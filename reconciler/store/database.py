"""A database to write to: its engine, its transactions, and its errors in words people can act on.

Whatever a driver raises leaves here as `ports.Unavailable` with a remedy or, for a SQLite file that is damaged or gone,
as `Damaged`, which the store answers by starting over. No message ever holds a password.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from reconciler.ports import Unavailable
from reconciler.redaction import redacted
from reconciler.store.rights import User, missing_right, no_schema

CONNECT_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_SECONDS = 10

_URL_FORM = "postgresql+psycopg2://USER:PASSWORD@HOST:PORT/DATABASE"
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
    """A PostgreSQL server, reached through a pool whose connections are checked before use."""

    def __init__(self, url: URL, *, pooled: bool = True) -> None:
        self.place = f"PostgreSQL database {url.database} at {url.host or 'the local socket'}:{url.port or 5432}"
        self._secrets = _secrets(url)
        self._user = User(url.username or "", writes=pooled)
        pool = {"pool_size": 2, "max_overflow": 3, "pool_timeout": CONNECT_TIMEOUT_SECONDS, "pool_pre_ping": True}
        self._engine = sa.create_engine(
            url,
            connect_args=_postgres_options(),
            executemany_mode="values_plus_batch",
            hide_parameters=True,
            **(pool if pooled else {"poolclass": sa.NullPool}),
        )

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        with explaining(self._explained), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One moment, read-only."""
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with explaining(self._explained), self._engine.connect().execution_options(**options) as connection:
            if connection.scalar(sa.text("SELECT current_schema()")) is None:
                raise Unavailable(f"{self.place}: {no_schema(self._user)}")
            yield connection

    def start_over(self, why: str) -> str:
        raise Unavailable(f"{self.place}: {why}; a server's database is its administrator's to restore")

    def dispose(self) -> None:
        self._engine.dispose()

    def _explained(self, cause: BaseException) -> Unavailable:
        if missing := missing_right(cause, self._user):
            return Unavailable(f"{self.place}: {missing}")
        said = redacted(" ".join(str(cause).split()) or type(cause).__name__, self._secrets)
        return Unavailable(
            f"{self.place}: {said}; check that the server runs and that --database names it and its user rightly"
        )


@contextmanager
def explaining(explained: Callable[[BaseException], Exception]) -> Iterator[None]:
    """Let what a driver raises, in our hands or in SQLAlchemy's, leave as what ``explained`` makes of it."""
    try:
        yield
    except DBAPIError as error:
        raise explained(error.orig or error) from error
    except (PoolTimeout, sqlite3.Error) as error:
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

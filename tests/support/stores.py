"""A database of either kind for one test, and a count of the statements that reach it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from reconciler.store import DEFAULT_RETENTION, Retention, SqlReader, SqlStore, open_reader, open_store


@dataclass(frozen=True)
class Place:
    """Where a store is: ``url`` None for SQLite. Stores opened here are closed at the end of the test."""

    url: str | None
    state_dir: Path
    stack: ExitStack

    def store(self, instance: str = "default", retention: Retention = DEFAULT_RETENTION) -> SqlStore:
        store = open_store(self.url, state_dir=self.state_dir, instance=instance, retention=retention)
        self.stack.callback(store.close)
        return store

    def reader(self, instance: str = "default") -> SqlReader:
        return open_reader(self.url, state_dir=self.state_dir, instance=instance)

    def query(self, text: str) -> list[Any]:
        """Rows of a statement of the test's own, past all of the store's code."""
        engine = sa.create_engine(self.url or f"sqlite:///{self.state_dir}/orchestry.db", poolclass=sa.NullPool)
        with engine.begin() as connection:
            result = connection.execute(sa.text(text))
            return list(result) if result.returns_rows else []


def make_place(url: str | None, state_dir: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(url, state_dir, stack)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """The same tests on both kinds of database."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    yield from make_place(url, tmp_path / "state")


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """Every statement, and every begin and commit, that any engine is given meanwhile."""
    seen: list[str] = []

    def statement(_: Any, __: Any, text: str, *___: Any) -> None:
        seen.append(" ".join(text.split()))

    def begin(_: Any) -> None:
        seen.append("BEGIN")

    def commit(_: Any) -> None:
        seen.append("COMMIT")

    listeners = {"before_cursor_execute": statement, "begin": begin, "commit": commit}
    for name, listener in listeners.items():
        sa.event.listen(sa.Engine, name, listener)
    try:
        yield seen
    finally:
        for name, listener in listeners.items():
            sa.event.remove(sa.Engine, name, listener)

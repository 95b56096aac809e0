"""The store as reports see it: read-only, one moment a call, with or without a controller running."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from reconciler import alive
from reconciler.model.events import Event, EventType
from reconciler.model.load import LoadSample
from reconciler.model.recorded import ActionRecord, Recorded, RevisionRecord
from reconciler.model.scaling import ScalingDecision
from reconciler.model.state import State
from reconciler.ports import NothingRecorded, Unavailable
from reconciler.store import codec, leadership, present, schema, tables
from reconciler.store.codec import Unreadable
from reconciler.store.rows import value_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SqlReader:
    """`ports.StatusReader`. ``reading`` opens the database for one look; ``place`` names it in messages, ``sign_file``
    is where this host's controller leaves its sign of life."""

    reading: Callable[[], AbstractContextManager[sa.Connection]]
    place: str
    instance: str
    sign_file: Path

    def recorded(self) -> Recorded:
        with self._look() as connection:
            recorded = present.read(connection, self.instance).recorded()
            elsewhere = leadership.last_sign(connection, self.instance) if _is_shared(connection) else None
        if recorded is None:
            raise self._nothing()
        # Of a state directory that another one has followed on another host, the file stays as it was.
        signs = [sign for sign in (alive.read(self.sign_file), elsewhere) if sign]
        return replace(recorded, sign=max(signs, key=lambda sign: sign.at, default=None))

    def state(self) -> State:
        with self._look() as connection:
            return present.read(connection, self.instance).state

    def events(
        self,
        *,
        app_name: str | None = None,
        type: EventType | None = None,
        since: float | None = None,
        limit: int = 100,
    ) -> tuple[Event, ...]:
        columns = tables.events.c
        newest_first = self._newest_first(columns.at, since, app_name=app_name, type=type)
        return self._list(newest_first.order_by(columns.id.desc()).limit(limit), partial(value_of, Event))

    def events_after(
        self,
        mark: int,
        *,
        app_name: str | None = None,
        type: EventType | None = None,
        since: float | None = None,
        limit: int | None = None,
    ) -> tuple[int, tuple[Event, ...]]:
        """The marks are the rows' numbers: an event may be recorded long after it happened."""
        columns = tables.events.c
        with self._look() as connection:
            newest = sa.select(sa.func.max(columns.id)).where(columns.instance == self.instance)
            new_mark: int = connection.scalar(newest) or 0
            if new_mark == mark:
                return mark, ()
            # Lower than before it is where the database was begun anew.
            fresh = self._newest_first(columns.at, since, app_name=app_name, type=type).where(
                columns.id > (mark if mark < new_mark else 0)
            )
            rows = connection.execute(fresh.order_by(columns.id.desc()).limit(limit)).mappings()
            return new_mark, tuple(value_of(Event, row) for row in rows)

    def actions(
        self, *, app_name: str | None = None, since: float | None = None, limit: int = 100
    ) -> tuple[ActionRecord, ...]:
        columns = tables.actions.c
        newest_first = self._newest_first(columns.planned_at, since, app_name=app_name)
        in_order = newest_first.order_by(columns.target.desc(), columns.verb.desc())
        return self._list(in_order.limit(limit), partial(value_of, ActionRecord))

    def revisions(self, *, since: float | None = None, limit: int = 100) -> tuple[RevisionRecord, ...]:
        columns = tables.revisions.c
        newest_first = self._newest_first(columns.applied_at, since)
        return self._list(newest_first.order_by(columns.id.desc()).limit(limit), partial(value_of, RevisionRecord))

    def decisions(self, app_name: str, *, since: float | None = None, limit: int = 100) -> tuple[ScalingDecision, ...]:
        newest_first = self._newest_first(tables.scaling_decisions.c.at, since, app_name=app_name)
        return self._list(newest_first.limit(limit), lambda row: codec.DECISION.decode(row["decision"]))

    def samples(self, app_name: str, *, since: float | None = None) -> tuple[LoadSample, ...]:
        """All of them: retention bounds how many there are, and part of a stretch of time would look like the whole."""
        columns = tables.samples.c
        newest_first = self._newest_first(columns.at, since, app_name=app_name)
        return self._list(newest_first.order_by(columns.resolution_seconds), partial(value_of, LoadSample))

    def close(self) -> None:
        """Nothing is kept open between looks."""

    def _newest_first(self, at: sa.Column[float], since: float | None, **equal: str | None) -> sa.Select[tuple[object]]:
        """The rows of the table that has the column ``at``, those ``since`` and with these values in other columns."""
        wanted = {name: value for name, value in equal.items() if value is not None} | {"instance": self.instance}
        query = sa.select(at.table).filter_by(**wanted).order_by(at.desc())
        return query if since is None else query.where(at >= since)

    def _list(self, query: sa.Select[tuple[object]], value: Callable[[sa.RowMapping], T]) -> tuple[T, ...]:
        with self._look() as connection:
            return tuple(value(row) for row in connection.execute(query).mappings())

    @contextmanager
    def _look(self) -> Iterator[sa.Connection]:
        try:
            with self.reading() as connection:
                if not schema.check(connection, self.place):
                    raise self._nothing()
                yield connection
        except Unreadable as error:
            raise Unavailable(
                f"{self.place} holds a record of another version of Orchestry ({error}): "
                "use the version that the controller has"
            ) from error

    def _nothing(self) -> NothingRecorded:
        return NothingRecorded(
            f"{self.place} has nothing of instance {self.instance!r} yet: start the controller with "
            f"`orchestry run`, or name another --instance{self._last_words()}"
        )

    def _last_words(self) -> str:
        """What kept a controller, while it was there, from recording anything."""
        sign = alive.read(self.sign_file)
        return (
            f"; of the last one, pid {sign.pid} on {sign.host}, is known: {sign.trouble}"
            if sign and sign.trouble
            else ""
        )


def _is_shared(connection: sa.Connection) -> bool:
    """Whether controllers on other hosts may write to the database."""
    return connection.dialect.name == "postgresql"

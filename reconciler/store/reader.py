"""The store as reports see it: read-only, one moment a call, with or without a controller running."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import sqlalchemy as sa

from reconciler.model.events import Event, EventType
from reconciler.model.load import LoadSample
from reconciler.model.recorded import ActionRecord, RevisionRecord, Snapshot
from reconciler.model.scaling import ScalingDecision
from reconciler.model.state import State
from reconciler.ports import NothingRecorded, Unavailable
from reconciler.store import queries, schema
from reconciler.store.codec import Unreadable


class SqlReader:
    """`ports.StatusReader`. ``reading`` opens the database for one look; ``place`` names it in messages."""

    def __init__(
        self,
        reading: Callable[[], AbstractContextManager[sa.Connection]],
        place: str,
        instance: str,
    ) -> None:
        self._reading = reading
        self._place = place
        self._instance = instance

    def snapshot(self) -> Snapshot:
        with self._look() as connection:
            found = queries.snapshot(connection, self._instance)
        if found is None:
            raise NothingRecorded(self._nothing())
        return found

    def state(self) -> State:
        with self._look() as connection:
            return queries.held(connection, self._instance).state

    def events(
        self,
        *,
        app_name: str | None = None,
        type: EventType | None = None,
        since: float | None = None,
        limit: int = 100,
    ) -> tuple[Event, ...]:
        with self._look() as connection:
            return queries.events(connection, self._instance, app_name, type, since, limit)

    def actions(
        self, *, app_name: str | None = None, since: float | None = None, limit: int = 100
    ) -> tuple[ActionRecord, ...]:
        with self._look() as connection:
            return queries.actions(connection, self._instance, app_name, since, limit)

    def revisions(self, *, since: float | None = None, limit: int = 100) -> tuple[RevisionRecord, ...]:
        with self._look() as connection:
            return queries.revisions(connection, self._instance, since, limit)

    def decisions(self, app_name: str, *, since: float | None = None, limit: int = 100) -> tuple[ScalingDecision, ...]:
        with self._look() as connection:
            return queries.decisions(connection, self._instance, app_name, since, limit)

    def samples(self, app_name: str, *, since: float | None = None) -> tuple[LoadSample, ...]:
        with self._look() as connection:
            return queries.samples(connection, self._instance, app_name, since)

    def close(self) -> None:
        """Nothing is kept open between looks."""

    @contextmanager
    def _look(self) -> Iterator[sa.Connection]:
        try:
            with self._reading() as connection:
                if not schema.check(connection, self._place):
                    raise NothingRecorded(self._nothing())
                yield connection
        except Unreadable as error:
            raise Unavailable(
                f"{self._place} holds a record of another version of Orchestry ({error}): "
                "use the version that the controller has"
            ) from error

    def _nothing(self) -> str:
        return (
            f"{self._place} has nothing of instance {self._instance!r} yet: start the controller with "
            "`orchestry run`, or name another --instance"
        )

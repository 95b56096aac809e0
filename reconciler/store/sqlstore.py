"""The store: one writer's view of the database. It keeps what a tick hands over, and reads it back after a restart.

It writes only what differs from what it wrote last, in one transaction a tick and none where nothing differs. It never
decides anything and never waits for longer than its database's time-outs. Where the end of a transaction was not
answered, the next one finds out whether it arrived, and what is told again is not recorded twice. A damaged or vanished
SQLite file is replaced by an empty one, filled from what is known, and the fact reported as a notice and an event.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import starmap
from typing import TypeVar

import sqlalchemy as sa

from reconciler import __version__
from reconciler.model.events import Event
from reconciler.model.recorded import RevisionRecord, SignOfLife
from reconciler.model.scaling import ScalingDecision
from reconciler.model.state import State
from reconciler.ports import Record, Unavailable
from reconciler.store import actions, codec, leadership, present, schema, tables
from reconciler.store.attempt import Attempt, untold
from reconciler.store.changes import Changes, Header, Present, applied, changes
from reconciler.store.database import Damaged, Database, Postgres
from reconciler.store.fence import pass_fence
from reconciler.store.leadership import FileLock, Lease
from reconciler.store.present import Held
from reconciler.store.retention import Retention, prune
from reconciler.store.rows import Row, row_of
from reconciler.store.statements import Writes

T = TypeVar("T")

_PRUNE_SECONDS = 60.0


class SqlStore:
    """`ports.Store` on SQLAlchemy Core. Whoever has one prepared is the instance's only controller."""

    def __init__(
        self, database: Database, instance: str, lock: FileLock, retention: Retention, *, shared: Postgres | None
    ) -> None:
        """``shared`` is the database where other hosts may reach it as well."""
        self._database = database
        self._shared = shared
        self._instance = instance
        self._lock = lock
        self._retention = retention
        self._lease: Lease | None = None
        self._saved: Present | None = None
        self._unsure: Attempt | None = None
        self._prepared = False
        self._started_at: float | None = None
        self._pruned_at = float("-inf")
        self._notices: list[str] = []
        self._unreported: list[str] = []

    def prepare(self) -> None:
        """Bring the schema up to date and, where the server is shared with other hosts, take the instance's lease. Done
        once; raises what `load` does."""
        if self._prepared:
            return
        self._undamaged(lambda: schema.prepare(self._database))
        if self._shared:
            with self._shared.transaction() as connection:
                lease = leadership.acquire(connection, self._instance, self._lock.holder)
            self._lease = lease
        self._prepared = True

    @property
    def notices(self) -> tuple[str, ...]:
        """What people should know of the database itself; part of the controller's notices from the next save on."""
        return tuple(self._notices)

    def report(self, notice: str) -> None:
        """Let people know, once."""
        if notice not in self._notices:
            self._notices.append(notice)
            self._unreported.append(notice)

    def load(self) -> State:
        self.prepare()
        return self._undamaged(self._read).state

    def save(self, record: Record, *, checkpoint: bool = False) -> None:
        self._lock.confirm()
        self._undamaged(lambda: self._save(record, checkpoint))

    def fence(self) -> None:
        pass_fence(self._lock, self._shared, self._lease)

    def renew(self) -> None:
        if (lease := self._lease) and self._shared:
            with self._shared.transaction() as connection:
                lease.renew(connection)

    def announce(self, sign: SignOfLife) -> None:
        if (lease := self._lease) and self._shared:
            with self._shared.transaction() as connection:
                lease.announce(connection, sign)

    def close(self) -> None:
        """Give the instance up. The next controller may start at once."""
        lease, self._lease = self._lease, None
        if lease:
            # A lease that can't be given back just now ends by itself.
            with suppress(Unavailable), self._database.transaction() as connection:
                lease.release(connection)
        self._database.dispose()
        self._lock.release()

    def _undamaged(self, act: Callable[[], T]) -> T:
        """Do it, and where the database turns out to be damaged once more, on a new one."""
        try:
            return act()
        except Damaged as damage:
            self.report(self._database.start_over(str(damage)))
            schema.prepare(self._database)
            self._saved = None
            return act()

    def _read(self) -> Held:
        with self._database.transaction() as connection:
            held = present.read(connection, self._instance)
        for sentence in held.unreadable:
            self.report(sentence)
        self._saved = held.present
        return held

    def _save(self, record: Record, checkpoint: bool) -> None:
        record = self._without_what_arrived(record)
        saved = self._saved or self._read().present
        checkpoint = checkpoint or self._started_at is None  # a first sign of life
        wanted = Present.of(record, saved)
        differing = changes(saved, wanted, everything=checkpoint)
        if not (differing or checkpoint or _has_news(record) or self._unreported):
            return
        attempt = Attempt(record, applied(saved, wanted, differing), tuple(self._unreported))
        with self._writing() as writes:
            if self._started_at is None:
                actions.interrupt(writes, record.at)
            writes.put(tables.controllers, [self._controller_row(wanted.header, attempt)])
            _write_present(writes, differing)
            self._write_past(writes, record, wanted.header, differing)
            if checkpoint:
                self._prune(writes.connection, record.at)
            self._unsure = attempt  # until the end of the transaction is known
        self._arrived(attempt)

    @contextmanager
    def _writing(self) -> Iterator[Writes]:
        """A transaction of this instance's controller."""
        with self._database.transaction() as connection:
            if self._lease:
                self._lease.renew(connection)
            yield Writes(connection, self._instance)

    def _without_what_arrived(self, record: Record) -> Record:
        """The record without what an attempt whose end was not answered has written of it after all."""
        if (attempt := self._unsure) is None:
            return record
        with self._writing() as writes:
            if arrived := present.last_record(writes.connection, self._instance) == attempt.id:
                actions.withdraw(writes, attempt.record.intents, attempt.record.at)
        if not arrived:
            self._unsure = None
            return record
        self._arrived(attempt)
        return replace(record, events=untold(record.events, attempt.record.events))

    def _arrived(self, attempt: Attempt) -> None:
        """All that the attempt was to write is on record."""
        self._saved, self._unsure = attempt.saved, None
        self._started_at = attempt.record.at if self._started_at is None else self._started_at
        self._unreported = [sentence for sentence in self._unreported if sentence not in attempt.reported]

    def _write_past(self, writes: Writes, record: Record, header: Header, differing: Changes) -> None:
        if differing.revision:
            revision = RevisionRecord(header.revision, record.at, header.notices, header.problems)
            writes.add(tables.revisions, [row_of(revision)])
        own = [Event(record.at, "controller", sentence) for sentence in self._unreported]
        writes.add(tables.events, map(row_of, (*own, *record.events)))
        writes.put(tables.scaling_decisions, starmap(_decision_row, differing.decisions))
        # An outcome is of an intent of an earlier record; this record's are of actions still to come.
        actions.conclude(writes, record.outcomes)
        actions.intend(writes, record.intents, record.at)
        writes.put(tables.samples, map(row_of, record.samples))

    def _controller_row(self, header: Header, attempt: Attempt) -> Row:
        at = attempt.record.at
        return row_of(replace(header, notices=(*header.notices, *self._notices))) | {
            "version": __version__,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started_at": at if self._started_at is None else self._started_at,
            "seen_at": at,
            "last_record": attempt.id,
        }

    def _prune(self, connection: sa.Connection, at: float) -> None:
        if abs(at - self._pruned_at) >= _PRUNE_SECONDS:
            # First of all: a pass that fails fails this save, and must not fail all that follow.
            self._pruned_at = at
            prune(connection, self._instance, at, self._retention)


def _write_present(writes: Writes, differing: Changes) -> None:
    apps, replicas = differing.apps, differing.replicas
    writes.put(tables.applications, present.app_rows(apps.changed))
    writes.remove(tables.applications, apps.gone)
    writes.put(tables.replicas, present.replica_rows(replicas.changed))
    writes.remove(tables.replicas, replicas.gone)
    if differing.published:
        writes.add(tables.route_tables, [{"published": codec.PUBLISHED.encode(differing.published)}])


def _decision_row(app_name: str, decision: ScalingDecision) -> Row:
    return {"app_name": app_name, "at": decision.at, "decision": codec.DECISION.encode(decision)}


def _has_news(record: Record) -> bool:
    return bool(record.events or record.intents or record.outcomes or record.samples)

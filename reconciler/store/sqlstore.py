"""The store: one writer's view of the database. It keeps what a tick hands over, and reads it back after a restart.

It writes only what differs from what it wrote last, in one transaction a tick and none where nothing differs. It never
decides anything and never waits for longer than its database's time-outs. A damaged or vanished SQLite file is replaced
by an empty one, filled from what is known, and the fact reported as a notice and an event.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
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
from reconciler.store.changes import Changes, Header, Present, applied, changes
from reconciler.store.database import Damaged, Database
from reconciler.store.leadership import FileLock, Lease
from reconciler.store.present import Held
from reconciler.store.retention import Retention, prune
from reconciler.store.rows import Row, row_of
from reconciler.store.statements import Writes

T = TypeVar("T")

_PRUNE_SECONDS = 60.0


class SqlStore:
    """`ports.Store` on SQLAlchemy Core. Whoever has one open is the instance's only controller."""

    def __init__(self, database: Database, instance: str, lock: FileLock, retention: Retention) -> None:
        self._database = database
        self._instance = instance
        self._lock = lock
        self._retention = retention
        self._lease: Lease | None = None
        self._saved: Present | None = None
        self._started_at: float | None = None
        self._pruned_at = float("-inf")
        self._notices: list[str] = []
        self._unreported: list[str] = []

    def prepare(self, *, shared: bool) -> None:
        """Bring the schema up to date and, where the server is shared with other hosts, take the instance's lease."""
        self._undamaged(lambda: schema.prepare(self._database))
        if shared:
            with self._database.transaction() as connection:
                self._lease = leadership.acquire(connection, self._instance, self._lock.holder)

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
        return self._undamaged(self._read).state

    def save(self, record: Record, *, checkpoint: bool = False) -> None:
        self._lock.confirm()
        self._undamaged(lambda: self._save(record, checkpoint))

    def announce(self, sign: SignOfLife) -> None:
        if self._lease:
            with self._database.transaction() as connection:
                self._lease.announce(connection, sign)

    def close(self) -> None:
        """Give the instance up. The next controller may start at once."""
        if self._lease:
            # A lease that can't be given back just now ends by itself.
            with suppress(Unavailable), self._database.transaction() as connection:
                self._lease.release(connection)
            self._lease = None
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
        saved = self._saved or self._read().present
        checkpoint = checkpoint or self._started_at is None  # a first sign of life
        wanted = Present.of(record, saved)
        differing = changes(saved, wanted, everything=checkpoint)
        if not (differing or checkpoint or _has_news(record) or self._unreported):
            return
        with self._database.transaction() as connection:
            if self._lease:
                self._lease.renew(connection)
            writes = Writes(connection, self._instance)
            if self._started_at is None:
                actions.interrupt(writes, record.at)
            writes.put(tables.controllers, [self._controller_row(wanted.header, record.at)])
            _write_present(writes, differing)
            self._write_past(writes, record, wanted.header, differing)
            if checkpoint:
                self._prune(connection, record.at)
        self._saved = applied(saved, wanted, differing)
        self._started_at = record.at if self._started_at is None else self._started_at
        self._unreported.clear()

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

    def _controller_row(self, header: Header, at: float) -> Row:
        return row_of(replace(header, notices=(*header.notices, *self._notices))) | {
            "version": __version__,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started_at": at if self._started_at is None else self._started_at,
            "seen_at": at,
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

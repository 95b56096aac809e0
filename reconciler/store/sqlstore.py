"""The store: one writer's view of the database. It keeps what a tick hands over, and reads it back after a restart.

It writes only what differs from what it wrote last, in one transaction a tick and none where nothing differs. It never
decides anything and never waits for longer than its database's time-outs. A damaged or vanished SQLite file is replaced
by an empty one, filled from what is known, and the fact reported as a notice and an event.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import replace

import sqlalchemy as sa

from reconciler import __version__
from reconciler.model.actions import Action
from reconciler.model.events import Event
from reconciler.model.state import State
from reconciler.ports import Record, Unavailable
from reconciler.store import queries, rows, schema, statements, tables
from reconciler.store.changes import Changes, Header, Present, applied, changes
from reconciler.store.database import Damaged, Database
from reconciler.store.leadership import FileLock, Lease
from reconciler.store.retention import Retention, prune

_PRUNE_SECONDS = 60.0


class SqlStore:
    """`ports.Store` on SQLAlchemy Core. Whoever has one open is the instance's only controller."""

    def __init__(
        self, database: Database, instance: str, lock: FileLock, lease: Lease | None, retention: Retention
    ) -> None:
        self._database = database
        self._instance = instance
        self._lock = lock
        self._lease = lease
        self._retention = retention
        self._saved: Present | None = None
        self._started_at: float | None = None
        self._pruned_at = float("-inf")
        self._planned_at: dict[tuple[str, str], float] = {}
        self._notices: list[str] = []
        self._unreported: list[str] = []

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
        try:
            return self._load()
        except Damaged as damage:
            self._start_over(damage)
            return self._load()

    def save(self, record: Record, *, checkpoint: bool = False) -> None:
        self._lock.confirm()
        try:
            self._save(record, checkpoint)
        except Damaged as damage:
            self._start_over(damage)
            self._save(record, checkpoint)

    def close(self) -> None:
        """Give the instance up. The next controller may start at once."""
        if self._lease:
            # A lease that can't be given back just now ends by itself.
            with suppress(Unavailable), self._database.transaction() as connection:
                self._lease.release(connection)
            self._lease = None
        self._database.dispose()
        self._lock.release()

    def _load(self) -> State:
        with self._database.transaction() as connection:
            held = queries.held(connection, self._instance)
        for sentence in held.unreadable:
            self.report(sentence)
        self._saved = held.present
        return held.state

    def _save(self, record: Record, checkpoint: bool) -> None:
        if self._saved is None:
            self._load()
        assert self._saved is not None
        checkpoint = checkpoint or self._started_at is None  # a first sign of life
        wanted = Present.of(record, self._saved)
        differing = changes(self._saved, wanted, everything=checkpoint)
        if not (differing or checkpoint or _has_news(record) or self._unreported):
            return
        with self._database.transaction() as connection:
            if self._lease:
                self._lease.renew(connection)
            if self._started_at is None:
                statements.interrupt(connection, self._instance, record.at)
            self._write(connection, record, wanted.header, differing)
            if checkpoint:
                self._prune(connection, record.at)
        self._saved = applied(self._saved, wanted, differing)
        self._started_at = record.at if self._started_at is None else self._started_at
        self._unreported.clear()
        self._remember_intents(record)

    def _write(self, connection: sa.Connection, record: Record, header: Header, differing: Changes) -> None:
        statements.put(connection, tables.controllers, [self._controller_row(header, record.at)])
        self._write_present(connection, differing)
        self._write_past(connection, record, header, differing)

    def _write_present(self, connection: sa.Connection, differing: Changes) -> None:
        apps, replicas = differing.apps, differing.replicas
        statements.put(
            connection, tables.applications, [rows.app_row(self._instance, *it) for it in apps.changed.items()]
        )
        statements.remove(connection, tables.applications, self._instance, apps.gone)
        statements.put(
            connection, tables.replicas, [rows.replica_row(self._instance, *it) for it in replicas.changed.items()]
        )
        statements.remove(connection, tables.replicas, self._instance, replicas.gone)

    def _write_past(self, connection: sa.Connection, record: Record, header: Header, differing: Changes) -> None:
        if differing.published:
            statements.add(connection, tables.route_tables, [rows.published_row(self._instance, differing.published)])
        if differing.revision:
            statements.add(connection, tables.revisions, [rows.revision_row(self._instance, header, record.at)])
        decisions = [rows.decision_row(self._instance, *it) for it in differing.decisions]
        statements.put(connection, tables.scaling_decisions, decisions)
        own = [Event(record.at, "controller", sentence) for sentence in self._unreported]
        statements.add(connection, tables.events, [rows.event_row(self._instance, it) for it in (*own, *record.events)])
        statements.put(connection, tables.actions, self._action_rows(record))
        statements.put(connection, tables.samples, rows.sample_rows(self._instance, record.samples))

    def _action_rows(self, record: Record) -> list[rows.Row]:
        """Intents and outcomes under the key that ties them together: what, to whom, and when it was planned.

        An outcome belongs to an intent of an earlier record; this record's are of actions still to come.
        """
        found = {(_key(it), record.at): rows.intent_row(self._instance, it, record.at) for it in record.intents}
        for outcome in record.outcomes:
            key = _key(outcome.action)
            planned_at = self._planned_at.get(key, outcome.started_at)
            found[key, planned_at] = rows.outcome_row(self._instance, outcome, planned_at)
        return list(found.values())

    def _remember_intents(self, record: Record) -> None:
        for outcome in record.outcomes:
            self._planned_at.pop(_key(outcome.action), None)
        self._planned_at |= {_key(action): record.at for action in record.intents}

    def _controller_row(self, header: Header, at: float) -> rows.Row:
        return rows.controller_row(
            self._instance,
            replace(header, notices=(*header.notices, *self._notices)),
            version=__version__,
            host=socket.gethostname(),
            pid=os.getpid(),
            since=at if self._started_at is None else self._started_at,
            at=at,
        )

    def _prune(self, connection: sa.Connection, at: float) -> None:
        if abs(at - self._pruned_at) >= _PRUNE_SECONDS:
            # First of all: a pass that fails fails this save, and must not fail all that follow.
            self._pruned_at = at
            prune(connection, self._instance, at, self._retention)

    def _start_over(self, damage: Damaged) -> None:
        self.report(self._database.start_over(str(damage)))
        schema.prepare(self._database)
        self._saved = None


def _has_news(record: Record) -> bool:
    return bool(record.events or record.intents or record.outcomes or record.samples)


def _key(action: Action) -> tuple[str, str]:
    return action.verb, action.key

"""Every question asked of the tables, for the store's own start and for reports. One instance at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import sqlalchemy as sa

from reconciler.model.events import Event, EventType
from reconciler.model.load import LoadSample
from reconciler.model.recorded import ActionRecord, AppRecord, RevisionRecord, Snapshot
from reconciler.model.scaling import ScalingDecision
from reconciler.model.state import Published, State
from reconciler.store import codec, rows, tables
from reconciler.store.changes import AppRow, Header, Present, ReplicaRow
from reconciler.store.codec import Codec, Unreadable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Held:
    """What the tables hold of the present, with a sentence for each part that another version wrote and this one
    can't read: it is left out, so that one text can't stop a controller. ``seen_at`` is when it was so."""

    present: Present
    unreadable: tuple[str, ...]
    seen_at: float = 0.0

    @property
    def state(self) -> State:
        return State(
            apps={name: row.state for name, row in self.present.apps.items() if row.state},
            replicas={name: row.state for name, row in self.present.replicas.items() if row.state},
            published=self.present.published,
            revision=self.present.header.revision,
            last_address=self.present.header.last_address,
            as_of=self.seen_at,
        )


def held(connection: sa.Connection, instance: str) -> Held:
    lost: list[str] = []

    def read(reader: Codec[T], text: str | None, what: str) -> T | None:
        try:
            return reader.decode(text) if text else None
        except Unreadable as error:
            lost.append(f"{what} was recorded by another version, can't be read and was left out ({error})")
            return None

    apps = {
        row["name"]: AppRow(
            read(codec.APP_STATE, row["state"], f"the state of {row['name']}"),
            read(codec.APP_STATUS, row["status"], f"the status of {row['name']}"),
        )
        for row in _present(connection, tables.applications, instance, "name")
    }
    replicas = {
        row["name"]: ReplicaRow(
            row["app"],
            read(codec.REPLICA_STATE, row["state"], f"the state of {row['name']}"),
            read(codec.REPLICA_STATUS, row["status"], f"the status of {row['name']}"),
        )
        for row in _present(connection, tables.replicas, instance, "app", "slot", "name")
    }
    published = read(codec.PUBLISHED, _last_published(connection, instance), "the route table") or Published()
    controller = _controller(connection, instance)
    header = Header()
    if controller:
        problems = read(codec.PROBLEMS, controller["problems"], "the list of problems") or ()
        header = rows.header(controller, problems)
    seen_at = controller["seen_at"] if controller else 0.0
    return Held(Present(apps, replicas, published, header), tuple(lost), seen_at)


def snapshot(connection: sa.Connection, instance: str) -> Snapshot | None:
    """The whole status; None where this instance was never recorded. Raises Unreadable."""
    controller = _controller(connection, instance)
    if controller is None:
        return None
    found = held(connection, instance)
    if found.unreadable:
        raise Unreadable(found.unreadable[0])
    replicas: dict[str, dict[str, ReplicaRow]] = defaultdict(dict)
    for name, row in found.present.replicas.items():
        replicas[row.app_name][name] = row
    apps = {name: _app_record(name, row, replicas[name]) for name, row in found.present.apps.items()}
    return Snapshot(rows.controller(controller), apps, found.present.published)


def events(
    connection: sa.Connection,
    instance: str,
    app_name: str | None,
    type_: EventType | None,
    since: float | None,
    limit: int,
) -> tuple[Event, ...]:
    table = tables.events
    query = sa.select(table).order_by(table.c.at.desc(), table.c.id.desc())
    query = _filtered(query, {table.c.instance: instance, table.c.app: app_name, table.c.type: type_})
    return _list(connection, _since(query, table.c.at, since, limit), rows.event)


def actions(
    connection: sa.Connection, instance: str, app_name: str | None, since: float | None, limit: int
) -> tuple[ActionRecord, ...]:
    table = tables.actions
    query = sa.select(table).order_by(table.c.planned_at.desc(), table.c.target.desc(), table.c.verb.desc())
    query = _filtered(query, {table.c.instance: instance, table.c.app: app_name})
    return _list(connection, _since(query, table.c.planned_at, since, limit), rows.action)


def revisions(connection: sa.Connection, instance: str, since: float | None, limit: int) -> tuple[RevisionRecord, ...]:
    table = tables.revisions
    query = sa.select(table).where(table.c.instance == instance).order_by(table.c.applied_at.desc(), table.c.id.desc())
    return _list(connection, _since(query, table.c.applied_at, since, limit), rows.revision)


def decisions(
    connection: sa.Connection, instance: str, app_name: str, since: float | None, limit: int
) -> tuple[ScalingDecision, ...]:
    table = tables.scaling_decisions
    query = sa.select(table).order_by(table.c.at.desc())
    query = _filtered(query, {table.c.instance: instance, table.c.app: app_name})
    return _list(
        connection, _since(query, table.c.at, since, limit), lambda row: codec.DECISION.decode(row["decision"])
    )


def samples(connection: sa.Connection, instance: str, app_name: str, since: float | None) -> tuple[LoadSample, ...]:
    """All of them: retention bounds how many there are, and part of a stretch of time would look like the whole."""
    table = tables.samples
    query = sa.select(table).order_by(table.c.at.desc(), table.c.resolution_seconds)
    query = _filtered(query, {table.c.instance: instance, table.c.app: app_name})
    return _list(connection, _since(query, table.c.at, since), rows.sample)


def _app_record(name: str, app: AppRow, replicas: Mapping[str, ReplicaRow]) -> AppRecord:
    instances = tuple(row.status for row in replicas.values() if row.status)
    states = {replica: row.state for replica, row in replicas.items() if row.state}
    return AppRecord(name, app.status and replace(app.status, replicas=instances), app.state, states)


def _present(connection: sa.Connection, table: sa.Table, instance: str, *order: str) -> Iterable[sa.RowMapping]:
    query = sa.select(table).where(table.c.instance == instance).order_by(*(table.c[name] for name in order))
    return connection.execute(query).mappings()


def _controller(connection: sa.Connection, instance: str) -> sa.RowMapping | None:
    query = sa.select(tables.controllers).where(tables.controllers.c.instance == instance)
    return connection.execute(query).mappings().one_or_none()


def _last_published(connection: sa.Connection, instance: str) -> str | None:
    table = tables.route_tables
    query = sa.select(table.c.published).where(table.c.instance == instance).order_by(table.c.id.desc()).limit(1)
    text: str | None = connection.scalar(query)
    return text


def _filtered(query: sa.Select[T], values: dict[sa.Column[str], str | None]) -> sa.Select[T]:
    return query.where(*(column == value for column, value in values.items() if value is not None))


def _since(
    query: sa.Select[T], column: sa.Column[float], since: float | None, limit: int | None = None
) -> sa.Select[T]:
    return (query if since is None else query.where(column >= since)).limit(limit)


def _list(
    connection: sa.Connection, query: sa.Select[tuple[object, ...]], value: Callable[[sa.RowMapping], T]
) -> tuple[T, ...]:
    return tuple(value(row) for row in connection.execute(query).mappings())

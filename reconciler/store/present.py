"""The present in the tables: what is remembered and shown of apps and replicas, the route table, the controller.

It reads all of it, and makes the rows of apps and replicas. A text that another version wrote and this one can't read
is left out and said, so that one text can't stop a controller.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import sqlalchemy as sa

from reconciler.model.recorded import AppRecord, Controller, Followed, Recorded
from reconciler.model.state import Published, State
from reconciler.store import codec, tables
from reconciler.store.changes import AppRow, Header, Present, ReplicaRow
from reconciler.store.codec import Codec, Unreadable
from reconciler.store.rows import Row, value_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Held:
    """What the tables hold of the present, with a sentence for each part that can't be read.

    ``controller`` is the one that wrote it, None where none ever did.
    """

    present: Present
    controller: Controller | None
    unreadable: tuple[str, ...]
    followed: Followed = Followed()

    @property
    def state(self) -> State:
        return State(
            apps={name: row.state for name, row in self.present.apps.items() if row.state},
            replicas={name: row.state for name, row in self.present.replicas.items() if row.state},
            published=self.present.published,
            revision=self.present.header.revision,
            problems=self.present.header.problems,
            last_address=self.present.header.last_address,
            outages=self.present.header.outages,
            as_of=self.controller.seen_at if self.controller else 0.0,
        )

    def recorded(self) -> Recorded | None:
        """The whole status; None where this instance was never recorded. Raises Unreadable where a part of it is."""
        if self.controller is None:
            return None
        if self.unreadable:
            raise Unreadable(self.unreadable[0])
        replicas: dict[str, dict[str, ReplicaRow]] = defaultdict(dict)
        for name, row in self.present.replicas.items():
            replicas[row.app_name][name] = row
        apps = {name: _app_record(name, row, replicas[name]) for name, row in self.present.apps.items()}
        return Recorded(self.controller, apps, self.present.published, self.followed)


def _app_record(name: str, app: AppRow, replicas: Mapping[str, ReplicaRow]) -> AppRecord:
    statuses = tuple(row.status for row in replicas.values() if row.status)
    states = {replica_name: row.state for replica_name, row in replicas.items() if row.state}
    return AppRecord(name, app.status and replace(app.status, replicas=statuses), app.state, states)


# -- reading ----------------------------------------------------------------------------------------------------------


def read(connection: sa.Connection, instance: str) -> Held:
    unreadable: list[str] = []

    def decoded(codec_: Codec[T], text: str | None, what: str) -> T | None:
        try:
            return codec_.decode(text) if text else None
        except Unreadable as error:
            unreadable.append(f"{what} was recorded by another version, can't be read and was left out ({error})")
            return None

    apps = {
        row["name"]: AppRow(
            decoded(codec.APP_STATE, row["state"], f"the state of {row['name']}"),
            decoded(codec.APP_STATUS, row["status"], f"the status of {row['name']}"),
        )
        for row in _rows(connection, tables.applications, instance, "name")
    }
    replicas = {
        row["name"]: ReplicaRow(
            row["app_name"],
            decoded(codec.REPLICA_STATE, row["state"], f"the state of {row['name']}"),
            decoded(codec.REPLICA_STATUS, row["status"], f"the status of {row['name']}"),
        )
        for row in _rows(connection, tables.replicas, instance, "app_name", "slot", "name")
    }
    published = decoded(codec.PUBLISHED, _last_published(connection, instance), "the route table") or Published()
    controller, header, followed = None, Header(), Followed()
    for row in _rows(connection, tables.controllers, instance):
        problems = decoded(codec.PROBLEMS, row["problems"], "the list of problems") or ()
        followed = _followed(row["source"])
        controller = value_of(Controller, row, problems=problems, source=followed.source)
        header = value_of(Header, row, problems=problems)
    return Held(Present(apps, replicas, published, header), controller, tuple(unreadable), followed)


def _followed(text: str) -> Followed:
    """What a controller follows, by the column of its source: a JSON text where there is more to it than a name."""
    try:
        return codec.FOLLOWED.decode(text)
    except Unreadable:
        return Followed(text)


def _rows(connection: sa.Connection, table: sa.Table, instance: str, *order: str) -> Iterable[sa.RowMapping]:
    query = sa.select(table).where(table.c.instance == instance).order_by(*(table.c[name] for name in order))
    return connection.execute(query).mappings()


def _last_published(connection: sa.Connection, instance: str) -> str | None:
    table = tables.route_tables
    query = sa.select(table.c.published).where(table.c.instance == instance).order_by(table.c.id.desc()).limit(1)
    text: str | None = connection.scalar(query)
    return text


def last_record(connection: sa.Connection, instance: str) -> str | None:
    """The id of the record that was written last."""
    table = tables.controllers
    name: str | None = connection.scalar(sa.select(table.c.last_record).where(table.c.instance == instance))
    return name


# -- rows -------------------------------------------------------------------------------------------------------------


def app_rows(apps: Mapping[str, AppRow]) -> Iterator[Row]:
    for name, (state, status) in apps.items():
        yield {
            "name": name,
            "status": status and codec.APP_STATUS.encode(status),
            "state": state and codec.APP_STATE.encode(state),
        }


def replica_rows(replicas: Mapping[str, ReplicaRow]) -> Iterator[Row]:
    for name, (app_name, state, status) in replicas.items():
        known = status or state
        assert known is not None, "a row has at least one of its halves"
        yield {
            "name": name,
            "app_name": app_name,
            "slot": known.slot,
            "status": status and codec.REPLICA_STATUS.encode(status),
            "state": state and codec.REPLICA_STATE.encode(state),
        }
